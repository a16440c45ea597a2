"""Alert: a finding about a version that waits for somebody, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class Severity(StrEnum):
    """How urgent an alert is; an open error makes `flows monitor` fail."""

    WARNING = "warning"
    ERROR = "error"


class Event(StrEnum):
    """What became of an alert."""

    SEEN_AGAIN = "seen-again"
    EMITTED = "emitted"
    """Prefect was told."""
    STARTED = "started"
    """A run of the deployment that retrains was asked for."""
    CLAIMED = "claimed"
    """Somebody began to retrain because of it."""
    HANDLED = "handled"
    """Retrained; the gate's decision is in the detail."""
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True)
class AlertEvent:
    """Something that became of an alert, with who did it."""

    event: Event
    at: datetime
    actor: str
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class NewAlert:
    """An alert before it is written. `as_of` is the window of its figures.

    `detail` has `figures`, `next` (a sentence), and `retrains` (whether a retraining may come of it).
    """

    rule: str
    version: str
    as_of: datetime
    severity: Severity
    title: str
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Alert(NewAlert):
    """A row of `alerts` with its events, the oldest first."""

    alert: UUID
    use_case: str
    opened_at: datetime
    opened_by: UUID
    events: tuple[AlertEvent, ...] = ()

    @property
    def closed(self) -> AlertEvent | None:
        """How it was closed; None while it is open."""
        return self.last(Event.CLOSED)

    @property
    def retrains(self) -> bool:
        """Whether a retraining may come of it."""
        return bool(self.detail.get("retrains"))

    @property
    def newest(self) -> tuple[datetime, str]:
        """The window in which it was seen last, and the sentence on it."""
        seen = self.last(Event.SEEN_AGAIN)
        if seen is None:
            return self.as_of, self.title
        return datetime.fromisoformat(seen.detail["as_of"]), seen.detail["title"]

    def last(self, *events: Event) -> AlertEvent | None:
        """The newest event of these kinds."""
        return next((each for each in reversed(self.events) if each.event in events), None)

    def number_of(self, event: Event) -> int:
        """How many events of a kind there are."""
        return sum(each.event == event for each in self.events)


def alert_as_json(alert: Alert) -> dict[str, Any]:
    """For `--json`: with its newest window and sentence, whether it is open, and its history."""
    as_of, title = alert.newest
    names = ("rule", "version", "severity", "opened_at", "detail")
    return {
        "alert": str(alert.alert),
        **{name: getattr(alert, name) for name in names},
        "as_of": as_of,
        "title": title,
        "open": alert.closed is None,
        "history": [vars(each) for each in alert.events],
    }
