"""Evidence: everything that the page of a use case is made of, read from the tables of monitoring and promotions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, class_row

from asof.settings import Settings
from asof.use_case import UseCase
from monitoring.records.figure import Figure, Subject
from monitoring.records.runs import latest_figures
from training.data.snapshots.owned_tables import table_exists
from training.release.promotion.history import Entry, read_history
from training.targets import rules_of

CLOSED = "closed"
NEWEST_RUNS = 20

ALERTS = """
SELECT alert, rule, version, as_of, severity, title, detail, opened_at FROM public.alerts
WHERE use_case = %s ORDER BY opened_at DESC, alert"""
EVENTS = """
SELECT alert, event, at, actor, e.detail FROM public.alert_events e JOIN public.alerts USING (alert)
WHERE use_case = %s ORDER BY id"""
RUNS = """
SELECT run, kind, started_at, finished_at, known_at, first, last, answers, actor, code_version FROM public.monitor_runs
WHERE use_case = %s ORDER BY finished_at DESC, run DESC LIMIT %s"""


@dataclass(frozen=True)
class AlertEvent:
    """What became of an alert, at a moment."""

    alert: UUID
    event: str
    at: datetime
    actor: str
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Alert:
    """An alert with its events, oldest first."""

    alert: UUID
    rule: str
    version: str
    as_of: datetime
    severity: str
    title: str
    detail: Mapping[str, Any]
    opened_at: datetime
    events: Sequence[AlertEvent] = ()

    @property
    def closed_at(self) -> datetime | None:
        """None while it is open."""
        return next((each.at for each in self.events if each.event == CLOSED), None)


@dataclass(frozen=True)
class Run:
    """A run as it is listed."""

    run: UUID
    kind: str
    started_at: datetime
    finished_at: datetime
    known_at: datetime
    first: datetime | None
    last: datetime | None
    answers: int
    actor: str
    code_version: str


@dataclass(frozen=True)
class Evidence:
    """`figures` by version and window; `alerts` and `runs` newest first, `promotions` oldest first.

    `metric` is the one that names a version (`headline` in a sentence), `unit` that of a predicted number.
    """

    use_case: str
    title: str
    metric: str
    headline: str
    made_at: datetime
    figures: Sequence[Figure] = ()
    alerts: Sequence[Alert] = ()
    promotions: Sequence[Entry] = ()
    runs: Sequence[Run] = ()

    def of(
        self, subject: Subject, metric: str | None = None, version: str | None = None, as_of: datetime | None = None
    ) -> list[Figure]:
        """The figures of a subject, and perhaps of one metric, version or window, in the order of windows."""
        wanted = {"metric": metric, "version": version, "as_of": as_of}
        given = {name: value for name, value in wanted.items() if value is not None}
        found = [
            each
            for each in self.figures
            if each.subject is subject and all(getattr(each, name) == value for name, value in given.items())
        ]
        return sorted(found, key=lambda each: (each.as_of, version_key(each.version), each.metric, each.about))

    def newest(self, subject: Subject, metric: str | None = None, version: str | None = None) -> list[Figure]:
        """Those of the newest window that has any."""
        found = self.of(subject, metric, version)
        return [each for each in found if each.as_of == found[-1].as_of]

    @property
    def version(self) -> str:
        """The version in Production; without a history the one with the newest figures. Empty: there is none."""
        if self.promotions and self.promotions[-1].version:
            return self.promotions[-1].version
        newest = max(self.figures, key=lambda each: (each.as_of, version_key(each.version)), default=None)
        return newest.version if newest else ""

    @property
    def versions(self) -> list[str]:
        """All versions with figures, oldest first."""
        return sorted({each.version for each in self.figures}, key=version_key)

    @property
    def windows(self) -> list[datetime]:
        """All windows, oldest first."""
        return sorted({each.as_of for each in self.figures})

    @property
    def open_alerts(self) -> list[Alert]:
        """Errors first."""
        found = [each for each in self.alerts if each.closed_at is None]
        return sorted(found, key=lambda each: each.severity != "error")


def version_key(version: str) -> tuple[int, str]:
    """Sorts numbers of versions by size, whatever else there is after them."""
    return (int(version), "") if version.isdecimal() else (2**31, version)


def read_evidence(settings: Settings, use_case: UseCase) -> Evidence:
    """What is known now; empty where monitoring has not run yet."""
    rules = rules_of(use_case.target)
    with psycopg.connect(settings.conninfo()) as connection:
        monitored = table_exists(connection, "public.alert_events")
        return Evidence(
            use_case.name,
            use_case.title,
            rules.headline.metric,
            rules.headline.title,
            settings.now(),
            latest_figures(settings, use_case.name),
            _alerts(connection, use_case.name) if monitored else (),
            read_history(connection, use_case.model_name),
            _runs(connection, use_case.name) if monitored else (),
        )


def _alerts(connection: psycopg.Connection[TupleRow], use_case: str) -> list[Alert]:
    with connection.cursor(row_factory=class_row(AlertEvent)) as cursor:
        events = cursor.execute(EVENTS, (use_case,)).fetchall()
    with connection.cursor(row_factory=class_row(Alert)) as cursor:
        alerts = cursor.execute(ALERTS, (use_case,)).fetchall()
    return [replace(alert, events=[each for each in events if each.alert == alert.alert]) for alert in alerts]


def _runs(connection: psycopg.Connection[TupleRow], use_case: str) -> list[Run]:
    with connection.cursor(row_factory=class_row(Run)) as cursor:
        return cursor.execute(RUNS, (use_case, NEWEST_RUNS)).fetchall()
