"""Runs of monitoring with their figures: saved in one transaction, and read back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, class_row
from psycopg.types.json import Jsonb

from asof.settings import Settings
from monitoring.records.figure import Figure, Subject, Verdict
from monitoring.records.tables import create_tables
from training.data.snapshots.owned_tables import table_exists

INSERT_RUN = """
INSERT INTO public.monitor_runs
    (run, use_case, kind, started_at, known_at, first, last, answers, actor, code_version, detail)
VALUES (%(run)s, %(use_case)s, %(kind)s, %(started_at)s, %(known_at)s, %(first)s, %(last)s, %(answers)s, %(actor)s,
    %(code_version)s, %(detail)s)"""
INSERT_FIGURE = """
INSERT INTO public.monitor_metrics (run, version, as_of, subject, metric, about, value, low, high, n, verdict, detail)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""
# A figure that the latest run with a window no longer has, such as that of a slice, is gone.
LATEST_FIGURES = """
WITH latest AS (
    SELECT DISTINCT ON (r.kind, m.version, m.as_of) m.run, m.version, m.as_of
    FROM (SELECT DISTINCT run, version, as_of FROM public.monitor_metrics) m JOIN public.monitor_runs r USING (run)
    WHERE r.use_case = %s ORDER BY r.kind, m.version, m.as_of, r.finished_at DESC, m.run DESC
)
SELECT m.version, m.as_of, m.subject, m.metric, m.about, m.value, m.low, m.high, m.n, m.verdict, m.detail
FROM latest JOIN public.monitor_metrics m USING (run, version, as_of)
WHERE m.subject = ANY(%s) ORDER BY m.version, m.as_of, m.subject, m.metric, m.about"""
LAST_RUN = """
SELECT run, use_case, kind, started_at, known_at, first, last, answers, actor, code_version, detail
FROM public.monitor_runs WHERE use_case = %s AND kind = %s ORDER BY finished_at DESC, run DESC LIMIT 1"""


@dataclass(frozen=True)
class MonitorRun:
    """A run; `kind` is monitor, audit or shadow, `run` a UUIDv7 (`asof.ledger.request_id`).

    `known_at`: what became known later is not in its figures. `first` and `last` are the windows that it computed, None
    where there was nothing. `answers`: how many it read.
    """

    run: UUID
    use_case: str
    kind: str
    started_at: datetime
    known_at: datetime
    first: datetime | None
    last: datetime | None
    answers: int
    actor: str
    code_version: str
    detail: Mapping[str, Any] = field(default_factory=dict)


def save_run(connection: psycopg.Connection[TupleRow], run: MonitorRun, figures: Iterable[Figure]) -> None:
    """Adds a run and its figures; the tables are created if they are absent."""
    create_tables(connection)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(INSERT_RUN, vars(run) | {"detail": Jsonb(run.detail)})
        cursor.executemany(INSERT_FIGURE, [(run.run, *_row(each)) for each in figures])


def latest_figures(settings: Settings, use_case: str, subjects: Sequence[Subject] = tuple(Subject)) -> list[Figure]:
    """The figures of all windows, each from the latest run that has it, by version and window; none without a run."""
    with psycopg.connect(settings.conninfo()) as connection:
        return read_figures(connection, use_case, subjects)


def read_figures(
    connection: psycopg.Connection[TupleRow], use_case: str, subjects: Sequence[Subject] = tuple(Subject)
) -> list[Figure]:
    """The same over a connection, with what its transaction has saved."""
    if not table_exists(connection, "public.monitor_runs"):
        return []
    rows = connection.execute(LATEST_FIGURES, (use_case, [*subjects])).fetchall()
    return [_figure(*row) for row in rows]


def last_run(settings: Settings, use_case: str, kind: str) -> MonitorRun | None:
    """The latest run of a kind, None if there is none."""
    with psycopg.connect(settings.conninfo()) as connection:
        if not table_exists(connection, "public.monitor_runs"):
            return None
        with connection.cursor(row_factory=class_row(MonitorRun)) as cursor:
            return cursor.execute(LAST_RUN, (use_case, kind)).fetchone()


def _row(figure: Figure) -> tuple[Any, ...]:
    numbers = (figure.value, figure.low, figure.high, figure.n)
    names = (figure.version, figure.as_of, figure.subject, figure.metric, figure.about)
    return (*names, *numbers, figure.verdict, Jsonb(figure.detail))


def _figure(*row: Any) -> Figure:
    version, as_of, subject, metric, about, value, low, high, n, verdict, detail = row
    return Figure(Subject(subject), metric, value, n, as_of, version, about, low, high, Verdict(verdict), detail)
