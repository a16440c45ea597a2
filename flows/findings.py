"""The terminal's side of `inspect`: which month is meant, and findings as a table for people."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from asof.errors import DataError


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
