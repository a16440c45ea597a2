"""Results of flows and stages in few columns, for a terminal."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asof.errors import DataError
from flows.terminal.output import abbreviate
from training.features.parity.verdicts import Verdict

if TYPE_CHECKING:
    from training.release.promotion.history import Entry
    from training.release.promotion.history_report import HistoryReport


def parse_moment(text: str) -> datetime:
    """The UTC datetime in an argument that is not a folder. Raises DataError if it is neither."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise DataError(f"{text} is neither a folder of extracts nor a moment such as 2024-01-31.") from None


def inspection_table(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result of the `inspect` flow, without the evidence."""
    months = [month | {"label_rate": _percent(month["label_rate"])} for month in result["months"]]
    findings = [{"severity": _severity(each), "finding": _description(each)} for each in result["findings"]]
    return {
        "page": result["page"],
        "stops training": ", ".join(result["stops"]) or "nothing",
        "months": months,
        "findings": findings,
    }


def _severity(finding: Mapping[str, Any]) -> str:
    return f"{finding['severity']}\n(acknowledged)" if finding["acknowledged"] else str(finding["severity"])


def _description(finding: Mapping[str, Any]) -> str:
    to_do = "" if finding["severity"] == "info" else f"\n-> {finding['to do']}"
    return f"{finding['name']}\n{finding['found']}{to_do}\n"


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.2%}"


def promotion_table(outcome: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A promotion, without the figures that the reasons of its criteria repeat; None if there was none."""
    if outcome is None:
        return None
    shown = [{name: each[name] for name in ("name", "passed", "reason")} for each in outcome["criteria"]]
    return {**outcome, "criteria": shown}


def history_table(report: "HistoryReport") -> dict[str, Any]:
    """The promotion history, without evidence and with short hashes."""
    summary = {
        "model": report.model,
        "chain": "\n".join(report.findings) or f"intact, {len(report.entries)} entries",
        "MLflow": report.mlflow or "agrees",
    }
    return summary | ({"entries": [_row(entry) for entry in report.entries]} if report.entries else {})


def _row(entry: "Entry") -> dict[str, Any]:
    names = ("seq", "event", "version", "previous", "at", "who", "reason", "bento", "hash")
    return {name: abbreviate(getattr(entry, name)) for name in names}


def parity_table(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result of the `parity` flow, with only the verdicts that occur."""
    verdicts = [verdict for verdict in Verdict if any(row[verdict] for row in result["features"])]
    features = [
        {"feature": f"{row['view']}:{row['feature']}", "type": row["type"]} | {each: row[each] for each in verdicts}
        for row in result["features"]
    ]
    tables = {"values by verdict": features, "examples": _example_rows(result["examples"])}
    return {"compared": result["summary"], **{title: rows for title, rows in tables.items() if rows}}


def _example_rows(examples: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: each[name] for name in ("verdict", "entity", "feature")}
        | {side: f"{each[side]} {each[f'{side}_type']} {each[f'{side}_as_of']}" for side in ("offline", "online")}
        for each in examples
    ]
