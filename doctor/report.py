"""Findings -> the output of `doctor`: one JSON object, or a table."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from time import perf_counter
from typing import Any

from asof.settings import export
from doctor.examination import examine
from doctor.finding import Finding, Severity
from doctor.given import Addresses, given_by


def diagnose(
    addresses: Addresses, use_case: str | None = None, *, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Runs every check, passes the title of each to `say`, and returns the report."""
    begun = perf_counter()
    given = given_by(addresses, use_case=use_case)
    if given.settings.postgres_url is not None:
        export(given.settings)
    return report(examine(given, say=say), perf_counter() - begun)


def report(findings: Sequence[Finding], seconds: float) -> dict[str, Any]:
    """All of it as plain data; `well` is true where nothing must be fixed."""
    counts = {f"{kind}s": sum(each.severity is kind for each in findings) for kind in Severity}
    return {
        "well": counts["errors"] == 0,
        **counts,
        "seconds": round(seconds, 1),
        "findings": [asdict(each) | {"severity": str(each.severity)} for each in findings],
    }


def for_people(told: dict[str, Any]) -> dict[str, Any]:
    """The same in two columns, each finding with its fix below."""
    numbers = [f"{told[name]} {name if told[name] != 1 else name[:-1]}" for name in ("errors", "warnings", "notes")]
    rows = [
        {"severity": each["severity"], "finding": "\n".join([each["found"], *_mend(each), ""])}
        for each in told["findings"]
    ]
    verdict = "nothing must be fixed" if told["well"] else "something must be fixed"
    return {"doctor": f"{verdict}: {', '.join(numbers)}", "seconds": str(told["seconds"]), "findings": rows}


def _mend(finding: dict[str, Any]) -> list[str]:
    return [f"-> {finding['mend']}"] if finding["mend"] else []
