"""The terminal's side of `inspect`: which month is meant, and findings as a table for people."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from asof.errors import DataError
from flows.terminal.output import shortened
from training.release.promotion.history import Entry
from training.release.promotion.history_report import HistoryReport


def moment(text: str) -> datetime:
    """A moment as on the command line, UTC. Raises DataError where the text is neither that nor a folder."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise DataError(f"{text} is neither a folder of extracts nor a moment such as 2024-01-31.") from None


def for_people(found: Mapping[str, Any]) -> dict[str, Any]:
    """The result of the `inspect` flow in few columns: the evidence is on the page and in the JSON."""
    months = [month | {"label_rate": _percent(month["label_rate"])} for month in found["months"]]
    findings = [{"severity": _severity(each), "finding": _told(each)} for each in found["findings"]]
    return {
        "page": found["page"],
        "stops training": ", ".join(found["stops"]) or "nothing",
        "months": months,
        "findings": findings,
    }


def _severity(finding: Mapping[str, Any]) -> str:
    return f"{finding['severity']}\n(acknowledged)" if finding["acknowledged"] else str(finding["severity"])


def _told(finding: Mapping[str, Any]) -> str:
    to_do = "" if finding["severity"] == "info" else f"\n-> {finding['to do']}"
    return f"{finding['name']}\n{finding['found']}{to_do}\n"


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.2%}"


def without_figures(outcome: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A promotion whose criteria tell their reasons only, which hold the figures; None where none was asked for."""
    if outcome is None:
        return None
    shown = [{name: each[name] for name in ("name", "passed", "reason")} for each in outcome["criteria"]]
    return {**outcome, "criteria": shown}


def history_for_people(report: HistoryReport) -> dict[str, Any]:
    """The report in few columns: evidence and whole hashes are in the JSON."""
    told = {
        "model": report.model,
        "chain": "\n".join(report.findings) or f"intact, {len(report.entries)} entries",
        "MLflow": report.mlflow or "agrees",
    }
    return told | ({"entries": [_row(entry) for entry in report.entries]} if report.entries else {})


def _row(entry: Entry) -> dict[str, Any]:
    names = ("seq", "event", "version", "previous", "at", "who", "reason", "bento", "hash")
    return {name: shortened(getattr(entry, name)) for name in names}
