"""What is done about an alert that retrains: whether it may be retrained now, and who does it.

Whoever retrains claims the alert first: a session holds its lock until the work is done or its process is gone, so an
alert is retrained once, however many were told, and again if the work was killed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from asof.errors import DataError, ModelError, TrainingSetError
from asof.extracts.cadence import moment_text
from asof.settings import Settings
from asof.use_case import FromStore, UseCase
from monitoring.alerts.alert import Alert, Event
from monitoring.alerts.review import BY, MONITOR, PERSON, superseded
from monitoring.alerts.rows import Connection, add_event, database_now, read_alerts
from training.data.snapshots.owned_tables import table_exists
from training.data.snapshots.provenance import actor
from training.features.datasets.dataset import newest_labelled
from training.release.registry.versions import model_version

LOCK: LiteralString = "SELECT pg_try_advisory_lock(hashtextextended('asof alert ' || %s, 0))"
CORRECTED: LiteralString = """
SELECT max(known_at) FROM public.loads, jsonb_each(files) AS each (file, facts)
WHERE split_part(file, '.', 1) = %s AND as_of = %s AND (facts ->> 'new_rows')::bigint > 0"""
MAX_ATTEMPTS = 3
"""After so many that were killed it is not retrained by itself."""


@dataclass(frozen=True)
class Decision:
    """Whether an alert may be retrained now; `reason` is why not, as a sentence."""

    alert: Alert
    possible: bool
    reason: str = ""


def may_retrain(settings: Settings, use_case: UseCase, alert: Alert, *, now: datetime) -> Decision:
    """No: it is closed, needs no retraining, was retrained within the cool-down, or there are no newer labels."""
    if alert.closed:
        return Decision(alert, False, f"It was closed: {alert.closed.detail.get('reason', '')}.")
    if not alert.retrains:
        return Decision(alert, False, f"Nothing is retrained because of {alert.rule}.")
    if (attempts := _broken_off(alert)) >= MAX_ATTEMPTS:
        return Decision(alert, False, f"{attempts} retrainings broke off: run one by hand and see why.")
    last = alert.last(Event.HANDLED, Event.FAILED)
    until = last.at + timedelta(hours=settings.alert_cooldown_hours) if last else now
    if last and now < until:
        when = f"{last.at.astimezone(UTC):%Y-%m-%d %H:%M}"
        return Decision(
            alert, False, f"It was tried at {when} UTC, and is again from {until.astimezone(UTC):%Y-%m-%d %H:%M} on."
        )
    if reason := _without_newer_labels(settings, use_case, alert):
        return Decision(alert, False, reason)
    return Decision(alert, True)


@dataclass(frozen=True)
class Claim:
    """An alert of which this process alone takes care; `taken` is why it cannot, else empty."""

    connection: Connection
    alert: Alert
    who: str
    taken: str = ""

    def record(self, event: Event, detail: Mapping[str, Any]) -> None:
        """Appends an event at once."""
        add_event(self.connection, self.alert.alert, event, self.who, detail)

    def close_superseded(self, live: str) -> None:
        """Closes the open alerts of the versions before `live`, this one too."""
        for each in superseded(read_alerts(self.connection, self.alert.use_case), live):
            add_event(self.connection, each.alert.alert, Event.CLOSED, self.who, {"reason": each.reason, BY: MONITOR})


@contextmanager
def claimed(settings: Settings, use_case: UseCase, alert: UUID) -> Iterator[Claim]:
    """Claims an alert for a block. Raises DataError where there is none of that id."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        alone = connection.execute(LOCK, (str(alert),)).fetchone() == (True,)
        found = find_alert(connection, use_case, alert)  # after the lock: what another did is seen
        who = actor(settings)
        if not alone:
            yield Claim(connection, found, who, "another process is retraining because of it")
            return
        decision = may_retrain(settings, use_case, found, now=database_now(connection))
        claim = Claim(connection, found, who, decision.reason)
        if decision.possible:
            claim.record(Event.CLAIMED, {})
        yield claim


def find_alert(connection: Connection, use_case: UseCase, alert: UUID) -> Alert:
    """The alert of that id. Raises DataError where the use case has none."""
    for each in read_alerts(connection, use_case.name):
        if each.alert == alert:
            return each
    raise DataError(f"{use_case.name} has no alert {alert}: see `python -m flows alerts {use_case.name}`.")


def _broken_off(alert: Alert) -> int:
    """How many claims since the last result have none, because their process was killed."""
    number = 0
    for each in reversed(alert.events):
        if each.event in (Event.HANDLED, Event.FAILED):
            break
        number += each.event == Event.CLAIMED
    return number


def _without_newer_labels(settings: Settings, use_case: UseCase, alert: Alert) -> str:
    """Why there are no labels that neither the version nor a retraining for this alert has seen; else empty."""
    try:
        facts = model_version(settings, use_case, alert.version).facts
    except ModelError as error:
        return f"It is not known what the version has seen: {error}"
    seen, known_at = facts.as_of, facts.known_at
    if handled := alert.last(Event.HANDLED):
        seen, known_at = max(seen, datetime.fromisoformat(handled.detail["as_of"])), handled.at
    try:
        newest = newest_labelled(settings, use_case)
    except TrainingSetError as error:
        return f"There is nothing to train on: {error}"
    if newest > seen or (newest == seen and _known_later(settings, use_case, newest, known_at)):
        return ""
    return (
        f"There are no labels newer than those of {moment_text(seen)}, which have been seen: it is retrained once "
        "there are."
    )


def _known_later(settings: Settings, use_case: UseCase, as_of: datetime, known_at: datetime) -> bool:
    """Whether labels of a moment came, or were corrected, after another."""
    if not isinstance(use_case.source, FromStore):
        return False
    with psycopg.connect(settings.conninfo()) as connection:
        if not table_exists(connection, "public.loads"):
            return False
        row = connection.execute(CORRECTED, (use_case.extract.labels.name, as_of)).fetchone()
    return bool(row and row[0] and row[0] > known_at)


def noted(settings: Settings, alert: Alert, event: Event, detail: Mapping[str, Any]) -> None:
    """Appends an event of an alert over a connection of its own."""
    with psycopg.connect(settings.conninfo()) as connection:
        add_event(connection, alert.alert, event, actor(settings), detail)


def close_alert(settings: Settings, use_case: UseCase, alert: UUID, reason: str) -> Alert:
    """Closes an alert for a person; returns it as it was. Raises DataError where it is closed already, or no such."""
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('asof alert closed ' || %s, 0))", (str(alert),)
        )
        found = find_alert(connection, use_case, alert)
        if found.closed:
            raise DataError(f"Alert {alert} was closed already: {found.closed.detail.get('reason', '')}.")
        add_event(connection, alert, Event.CLOSED, actor(settings), {"reason": reason, BY: PERSON})
    return found
