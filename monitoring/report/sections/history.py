"""Alerts with what came of each, and the runs that the page rests on."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from monitoring.alerts.alert import Alert, AlertEvent, Event
from monitoring.report.evidence import Evidence
from monitoring.report.numbers import counted, moment
from monitoring.report.sections.section import Cell, Table, numeric

NAMES = {
    Event.SEEN_AGAIN: "seen again",
    Event.EMITTED: "Prefect was told",
    Event.STARTED: "retraining asked for",
    Event.CLAIMED: "retraining began",
    Event.HANDLED: "retrained",
    Event.FAILED: "retraining failed",
    Event.CLOSED: "closed",
}
TOLD = {"reason": "", "title": "", "error": "", "flow_run": "run "}
"""Members of a detail that are shown, and what stands before each."""


@dataclass(frozen=True)
class Step:
    """One step of an alert's history."""

    when: str
    what: str
    says: str


@dataclass(frozen=True)
class Story:
    """An alert as the page tells it; `ended` is empty while it is open."""

    severity: str
    title: str
    rule: str
    version: str
    window: str
    next_step: str
    ended: str
    steps: Sequence[Step]


def stories(evidence: Evidence) -> list[Story]:
    """Open alerts first, errors before warnings; then the closed ones, newest first."""
    closed = [each for each in evidence.alerts if each.closed]
    return [_story(each) for each in (*evidence.open_alerts, *closed)]


def runs(evidence: Evidence) -> Table:
    """The newest runs."""
    rows = [
        [
            Cell(moment(each.finished_at)),
            Cell(each.kind),
            Cell(moment(each.known_at)),
            Cell(" to ".join(dict.fromkeys(filter(None, (moment(each.first), moment(each.last))))) or "nothing new"),
            numeric(f"{each.answers:,}"),
            Cell(each.actor),
            Cell(each.code_version[:12], "code"),
        ]
        for each in evidence.runs
    ]
    columns = ("finished", "kind", "known at", "windows", "answers", "by", "code")
    return Table(f"The newest {counted(len(rows), 'run')}", columns, rows)


def _story(alert: Alert) -> Story:
    as_of, title = alert.newest
    return Story(
        alert.severity.value,
        title,
        alert.rule,
        alert.version,
        moment(as_of),
        str(alert.detail.get("next") or ""),
        moment(alert.closed.at) if alert.closed else "",
        [Step(moment(alert.opened_at), "opened", alert.title if alert.title != title else ""), *_steps(alert.events)],
    )


def _steps(events: Sequence[AlertEvent]) -> list[Step]:
    """An alert that was seen again several times in a row has one step of it, the last."""
    steps = []
    for _, same in groupby(events, lambda each: each.event):
        group = list(same)
        shown = group[-1:] if group[0].event is Event.SEEN_AGAIN else group
        times = f", {len(group)} times, the last" if len(shown) < len(group) else ""
        steps += [Step(moment(each.at), f"{NAMES[each.event]}{times}", _says(each)) for each in shown]
    return steps


def _says(event: AlertEvent) -> str:
    """What its detail says in words, of known members alone: no entity may stay on a page."""
    detail = event.detail
    if event.event is Event.HANDLED:
        made = f"version {detail.get('version')} was trained as of {str(detail.get('as_of'))[:10]}"
        if detail.get("promoted"):
            return f"{made}, and was promoted"
        return f"{made}, and was not promoted: {' '.join(map(str, detail.get('reasons', ())))}"
    return next((f"{before}{detail[name]}" for name, before in TOLD.items() if detail.get(name)), "")
