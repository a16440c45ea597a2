"""Alerts with what came of each, and the runs that the page rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitoring.report.evidence import Alert, AlertEvent, Evidence
from monitoring.report.numbers import counted, moment
from monitoring.report.sections.section import Cell, Table, numeric

SENTENCES = ("sentence", "reason", "message", "text")
"""Members of a detail that say in words what happened."""
HIDDEN = {"entity", "entities", "request", "requests", "keys"}
"""Members that could name an entity: an erased one must not stay on a page."""


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
    says: str
    next_step: str
    ended: str
    steps: Sequence[Step]


def stories(evidence: Evidence) -> list[Story]:
    """Open alerts first, errors before warnings; then the closed ones, newest first."""
    closed = [each for each in evidence.alerts if each.closed_at is not None]
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
    return Story(
        alert.severity,
        alert.title,
        alert.rule,
        alert.version,
        moment(alert.as_of),
        _words(alert.detail),
        str(alert.detail.get("next_step") or alert.detail.get("next") or ""),
        moment(alert.closed_at),
        [Step(moment(alert.opened_at), "opened", ""), *_steps(alert.events)],
    )


def _steps(events: Sequence[AlertEvent]) -> list[Step]:
    """Events in a row of the same kind and words are one, with their number."""
    steps: list[tuple[Step, int]] = []
    for each in events:
        step = Step(moment(each.at), each.event.replace("-", " "), _words(each.detail))
        if steps and (steps[-1][0].what, steps[-1][0].says) == (step.what, step.says):
            steps[-1] = (step, steps[-1][1] + 1)
        else:
            steps.append((step, 1))
    return [
        Step(step.when, step.what if times == 1 else f"{step.what}, {times} times, the last", step.says)
        for step, times in steps
    ]


def _words(detail: Mapping[str, Any]) -> str:
    """The sentences in a detail, then its other plain members by name."""
    said = [str(detail[name]) for name in SENTENCES if detail.get(name)]
    skipped = {*SENTENCES, *HIDDEN, "next_step", "next"}
    named = [
        f"{name.replace('_', ' ')} {value}"
        for name, value in detail.items()
        if name not in skipped and isinstance(value, str | int | float) and value != ""
    ]
    return " ".join([*said, *([f"({', '.join(named)})"] if named else [])])
