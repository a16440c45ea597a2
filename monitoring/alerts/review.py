"""Figures and alerts -> which alerts to open and to close. Nothing is read or written here.

There is one open alert for each rule and version. An alert closes when the newest window that the rule can decide on is
good, or when another version takes over; for the cool-down after that it is not opened again. What a person closed
opens again only for a newer window.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from asof.extracts.cadence import moment_text
from monitoring.alerts.alert import Alert, NewAlert
from monitoring.alerts.rules import Rule
from monitoring.records.figure import Figure

BY = "by"
PERSON, MONITOR = "person", "monitor"
"""Who closed an alert, in the detail of its event."""
MAX_FIGURES = 20
"""Of an alert are kept in its row."""


@dataclass(frozen=True)
class Opened:
    """An alert to open."""

    alert: NewAlert


@dataclass(frozen=True)
class SeenAgain:
    """An open alert whose newest figures say something new."""

    alert: Alert
    as_of: datetime
    title: str


@dataclass(frozen=True)
class Closed:
    """An alert to close, and why."""

    alert: Alert
    reason: str


Change = Opened | SeenAgain | Closed


@dataclass(frozen=True)
class Situation:
    """What is decided on: the figures of every version, all alerts, the version in Production (None: unknown).

    `now` is the time by which alerts are dated, `cooldown` how long a closed one stays closed.
    """

    figures: Sequence[Figure]
    alerts: Sequence[Alert]
    live: str | None
    now: datetime
    cooldown: timedelta

    @property
    def versions(self) -> list[str]:
        """Those whose figures can open an alert: the one in Production, or else all of the newest window."""
        if self.live is not None:
            return [self.live]
        newest = max((each.as_of for each in self.figures), default=None)
        return sorted({each.version for each in self.figures if each.as_of == newest})


def review(rules: Sequence[Rule], situation: Situation) -> list[Change]:
    """The changes: of versions that were replaced, then rule by rule."""
    replaced = list(superseded(situation.alerts, situation.live))
    return [*replaced, *(change for rule in rules for change in _by_rule(rule, situation))]


def superseded(alerts: Iterable[Alert], live: str | None) -> Iterator[Closed]:
    """The open alerts of versions that are no longer in Production."""
    for each in alerts:
        if live is not None and not each.closed and each.version != live:
            yield Closed(each, f"version {live} took over")


def _by_rule(rule: Rule, situation: Situation) -> Iterator[Change]:
    for version in situation.versions:
        own = [each for each in situation.alerts if (each.rule, each.version) == (rule.name, version)]
        reported = max((each.newest[0] for each in own), default=None)
        decisive = rule.decisive([each for each in situation.figures if each.version == version], reported)
        if decisive is None:
            continue
        as_of, alarms = decisive
        current = next((each for each in own if not each.closed), None)
        if alarms:
            yield from _alarm(current, NewAlert(rule.name, version, as_of, *_content(rule, alarms)), own, situation)
        elif current:
            yield Closed(current, f"{rule.name.replace('-', ' ')} is within its bounds as of {moment_text(as_of)}")


def _alarm(current: Alert | None, alert: NewAlert, own: Sequence[Alert], situation: Situation) -> Iterator[Change]:
    if current is None:
        if not own or _may_reopen(own[-1], alert, situation):
            yield Opened(alert)
    elif current.severity != alert.severity:
        yield Closed(current, f"it is a matter of severity {alert.severity} now")
        yield Opened(alert)
    elif current.newest != (alert.as_of, alert.title):
        yield SeenAgain(current, alert.as_of, alert.title)


def _may_reopen(last: Alert, alert: NewAlert, situation: Situation) -> bool:
    closed = last.closed
    if closed is None or situation.now < closed.at + situation.cooldown:
        return False
    return closed.detail.get(BY) != PERSON or alert.as_of > last.newest[0]


def _content(rule: Rule, alarms: Sequence[Figure]) -> tuple[Any, str, dict[str, Any]]:
    """Severity, title and detail."""
    figures = [_plain(each) for each in alarms[:MAX_FIGURES]]
    detail = {"figures": figures, "next": rule.next_step, "retrains": rule.retrains}
    return rule.severity_of(alarms), rule.sentence(alarms), detail


def _plain(figure: Figure) -> dict[str, Any]:
    """What names a figure and its numbers, for JSON."""
    names = ("metric", "about", "value", "low", "high", "n")
    return {name: value for name, value in asdict(figure).items() if name in names}
