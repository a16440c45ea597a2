"""A run's figures, and the alerts that they open and close: saved in one transaction, by one run at a time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString
from uuid import UUID

import psycopg

from asof.settings import Settings
from asof.use_case import UseCase
from monitoring.alerts.alert import Alert, Event
from monitoring.alerts.review import BY, MONITOR, Change, Closed, Opened, SeenAgain, Situation, review
from monitoring.alerts.rows import Connection, add_alert, add_event, database_now, read_alerts
from monitoring.alerts.rules import rules_for
from monitoring.records.figure import Figure
from monitoring.records.runs import MonitorRun, read_figures, save_run
from training.release.promotion.history import read_history

KEY: LiteralString = "hashtextextended('asof monitor ' || %s, 0)"


@dataclass(frozen=True)
class SavedRun:
    """What a run changed: ids of alerts. `alerts` are all of the use case afterwards, the oldest first.

    `live` is the version in Production, `now` the time by which alerts are dated.
    """

    run: UUID
    opened: Sequence[UUID]
    seen_again: Sequence[UUID]
    closed: Sequence[UUID]
    alerts: Sequence[Alert]
    live: str | None
    now: datetime


@contextmanager
def one_at_a_time(settings: Settings, use_case: UseCase, progress: Callable[[str], None]) -> Iterator[None]:
    """For a block no other process monitors this use case; waits for one that does. Ends with its process."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        if connection.execute(f"SELECT pg_try_advisory_lock({KEY})", (use_case.name,)).fetchone() == (False,):
            progress("waiting for another run")
            connection.execute(f"SELECT pg_advisory_lock({KEY})", (use_case.name,))
        yield


def save(settings: Settings, use_case: UseCase, run: MonitorRun, figures: Sequence[Figure]) -> SavedRun:
    """Adds the run, its figures, and what they mean for alerts; all of it or nothing."""
    with psycopg.connect(settings.conninfo()) as connection:
        save_run(connection, run, figures)
        live = live_version(connection, use_case)
        situation = Situation(
            read_figures(connection, use_case.name),
            read_alerts(connection, use_case.name),
            live,
            database_now(connection),
            timedelta(hours=settings.alert_cooldown_hours),
        )
        changed = [(each, _apply(connection, each, run)) for each in review(rules_for(use_case), situation)]
        return SavedRun(
            run=run.run,
            opened=[alert for change, alert in changed if isinstance(change, Opened)],
            seen_again=[alert for change, alert in changed if isinstance(change, SeenAgain)],
            closed=[alert for change, alert in changed if isinstance(change, Closed)],
            alerts=read_alerts(connection, use_case.name),
            live=live,
            now=situation.now,
        )


def live_version(connection: Connection, use_case: UseCase) -> str | None:
    """The version in Production by the promotion history; None where it has none."""
    entries = read_history(connection, use_case.model_name)
    return entries[-1].version if entries else None


def _apply(connection: Connection, change: Change, run: MonitorRun) -> UUID:
    match change:
        case Opened(alert):
            return add_alert(connection, run.use_case, alert, run=run.run)
        case SeenAgain(alert, as_of, title):
            detail = {"as_of": as_of.isoformat(), "title": title, "run": str(run.run)}
            add_event(connection, alert.alert, Event.SEEN_AGAIN, run.actor, detail)
        case Closed(alert, reason):
            detail = {"reason": reason, BY: MONITOR, "run": str(run.run)}
            add_event(connection, alert.alert, Event.CLOSED, run.actor, detail)
    return change.alert.alert
