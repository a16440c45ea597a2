"""What is in Production and why: the version, the criteria that it passed, and the history."""

from collections.abc import Mapping
from math import isfinite

from console.visit import Context, Visit
from training.metrics.classification import Estimate, with_intervals
from training.release.promotion.history_report import report_history
from training.release.registry.versions import ModelVersion, model_version
from training.targets import rules_of
from training.tracking.client import has_registry


def view(visit: Visit) -> Context:
    report = report_history(visit.settings, visit.use_case) if has_registry(visit.settings) else None
    entries = report.entries if report else ()
    current = entries[-1] if entries else None
    version = model_version(visit.settings, visit.use_case, current.version) if current and current.version else None
    return {
        "report": report,
        "entries": tuple(reversed(entries)),
        "current": current,
        "version": version,
        "estimates": _estimates(version, rules_of(visit.use_case.target).titles) if version else {},
        "rollback": f"python -m flows rollback {visit.use_case.name}" if current and current.previous else "",
        "trace": f"python -m flows trace {visit.use_case.name} {version.version}" if version else "",
    }


def _estimates(version: ModelVersion, titles: Mapping[str, str]) -> dict[str, Estimate]:
    """The metrics of the evaluation that have an interval, by title."""
    found = with_intervals(version.metrics)
    known = {name: each for name, each in found.items() if isfinite(each.low) and isfinite(each.high)}
    return {titles.get(name, name): each for name, each in known.items()}
