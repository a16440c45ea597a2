"""Alerts and their events in PostgreSQL: read and appended."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from asof.ledger.request_id import new_request_id
from asof.settings import Settings
from monitoring.alerts.alert import Alert, AlertEvent, Event, NewAlert, Severity
from training.data.snapshots.owned_tables import table_exists

Connection = psycopg.Connection[TupleRow]

INSERT: LiteralString = """
INSERT INTO public.alerts (alert, use_case, rule, version, as_of, severity, title, detail, opened_by)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"""
INSERT_EVENT: LiteralString = """
INSERT INTO public.alert_events (alert, event, actor, detail) VALUES (%s, %s, %s, %s)"""
EVENTS: LiteralString = """
SELECT e.alert, e.event, e.at, e.actor, e.detail FROM public.alert_events e JOIN public.alerts a USING (alert)
WHERE a.use_case = %s ORDER BY e.id"""
ALERTS: LiteralString = """
SELECT alert, rule, version, as_of, severity, title, detail, opened_at, opened_by FROM public.alerts
WHERE use_case = %s ORDER BY opened_at, alert"""


def read_alerts(connection: Connection, use_case: str) -> list[Alert]:
    """All alerts of a use case, the oldest first; none where there are no tables yet."""
    if not table_exists(connection, "public.alert_events"):
        return []
    events: dict[UUID, list[AlertEvent]] = {}
    for alert, event, at, actor, detail in connection.execute(EVENTS, (use_case,)):
        events.setdefault(alert, []).append(AlertEvent(Event(event), at, actor, detail))
    return [
        Alert(
            rule, version, as_of, Severity(severity), title, detail, alert, use_case, opened_at, opened_by,
            tuple(events.get(alert, ())),
        )
        for alert, rule, version, as_of, severity, title, detail, opened_at, opened_by in connection.execute(
            ALERTS, (use_case,)
        )
    ]  # fmt: skip


def alerts_of(settings: Settings, use_case: str) -> list[Alert]:
    """The same over a connection of its own."""
    with psycopg.connect(settings.conninfo(default_transaction_read_only="on")) as connection:
        return read_alerts(connection, use_case)


def add_alert(connection: Connection, use_case: str, alert: NewAlert, *, run: UUID) -> UUID:
    """Opens an alert; returns its id, a UUIDv7."""
    number = UUID(new_request_id())
    names = (alert.rule, alert.version, alert.as_of, alert.severity, alert.title)
    connection.execute(INSERT, (number, use_case, *names, Jsonb(alert.detail), run))
    return number


def add_event(connection: Connection, alert: UUID, event: Event, actor: str, detail: Mapping[str, Any]) -> None:
    """Appends an event of an alert."""
    connection.execute(INSERT_EVENT, (alert, event, actor, Jsonb(detail)))


def database_now(connection: Connection) -> datetime:
    """The time of the database, by which alerts and events are dated."""
    ((now,),) = connection.execute("SELECT clock_timestamp()")
    moment: datetime = now
    return moment
