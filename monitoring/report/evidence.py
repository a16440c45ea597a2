"""Evidence: everything that the page of a use case is made of, read from the tables of monitoring and promotions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, class_row

from asof.settings import Settings
from asof.use_case import UseCase
from monitoring.alerts.alert import Alert, Severity
from monitoring.alerts.rows import read_alerts
from monitoring.records.figure import Figure, Subject
from monitoring.records.runs import latest_figures
from training.data.snapshots.owned_tables import table_exists
from training.release.promotion.history import Entry, read_history
from training.targets import rules_of

NEWEST_RUNS = 20

RUNS = """
SELECT run, kind, started_at, finished_at, known_at, first, last, answers, actor, code_version FROM public.monitor_runs
WHERE use_case = %s ORDER BY finished_at DESC, run DESC LIMIT %s"""


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
        found = [each for each in self.alerts if each.closed is None]
        return sorted(found, key=lambda each: each.severity is not Severity.ERROR)


def version_key(version: str) -> tuple[int, str]:
    """Sorts numbers of versions by size, whatever else there is after them."""
    return (int(version), "") if version.isdecimal() else (2**31, version)


def read_evidence(settings: Settings, use_case: UseCase) -> Evidence:
    """What is known now; empty where monitoring has not run yet."""
    rules = rules_of(use_case.target)
    with psycopg.connect(settings.conninfo()) as connection:
        monitored = table_exists(connection, "public.monitor_runs")
        return Evidence(
            use_case.name,
            use_case.title,
            rules.headline.metric,
            rules.headline.title,
            settings.now(),
            latest_figures(settings, use_case.name),
            [*reversed(read_alerts(connection, use_case.name))],
            read_history(connection, use_case.model_name),
            _runs(connection, use_case.name) if monitored else (),
        )


def _runs(connection: psycopg.Connection[TupleRow], use_case: str) -> list[Run]:
    with connection.cursor(row_factory=class_row(Run)) as cursor:
        return cursor.execute(RUNS, (use_case, NEWEST_RUNS)).fetchall()
