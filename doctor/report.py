"""The report of `flows doctor` as JSON data."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from time import perf_counter
from typing import Any

from asof.settings import export
from doctor.context import Addresses, read_context
from doctor.examination import examine
from doctor.finding import Finding, Severity


def diagnose(
    addresses: Addresses, use_case: str | None = None, *, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Runs every check and returns the report; calls `progress` with the title of each check."""
    begun = perf_counter()
    context = read_context(addresses, use_case=use_case)
    if context.settings.postgres_url is not None:
        export(context.settings)
    return report(examine(context, progress), perf_counter() - begun)


def report(findings: Sequence[Finding], seconds: float) -> dict[str, Any]:
    """The report as JSON data; `well` is true if there is no error."""
    counts = {f"{kind}s": sum(each.severity is kind for each in findings) for kind in Severity}
    return {
        "well": counts["errors"] == 0,
        **counts,
        "seconds": round(seconds, 1),
        "findings": [asdict(each) | {"severity": str(each.severity)} for each in findings],
    }
