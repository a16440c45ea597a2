"""The terminal's side of `history`: the entries as a table for people."""

from typing import Any

from flows.account import shortened
from training.history import Entry
from training.history_report import HistoryReport


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
