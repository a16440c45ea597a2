"""What is exported, read from the tables of monitoring."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString, TypeVar

import psycopg
from psycopg.rows import TupleRow, class_row

from training.data.snapshots.owned_tables import table_exists

Connection = psycopg.Connection[TupleRow]
Row = TypeVar("Row")

RUNS: LiteralString = """
SELECT DISTINCT ON (use_case, kind) use_case, kind, finished_at, answers FROM public.monitor_runs
ORDER BY use_case, kind, finished_at DESC, run DESC"""
NEWEST_FIGURES: LiteralString = """
WITH newest AS (
    SELECT r.use_case, m.subject, max(m.as_of) AS as_of
    FROM public.monitor_metrics m JOIN public.monitor_runs r USING (run) GROUP BY r.use_case, m.subject
)
SELECT DISTINCT ON (r.use_case, m.version, m.subject, m.metric, m.about) r.use_case, m.version, m.as_of, m.subject,
    m.metric, m.about, m.value, m.low, m.high, m.n, m.verdict,
    CASE m.subject WHEN 'performance' THEN m.detail -> 'promotion' END AS promotion
FROM public.monitor_metrics m JOIN public.monitor_runs r USING (run)
JOIN newest ON (newest.use_case, newest.subject, newest.as_of) = (r.use_case, m.subject, m.as_of)
ORDER BY r.use_case, m.version, m.subject, m.metric, m.about, r.finished_at DESC, r.run DESC"""
ALERTS: LiteralString = """
SELECT use_case, severity, rule, count(*) AS opened, count(*) FILTER (WHERE NOT EXISTS (
    SELECT FROM public.alert_events e WHERE e.alert = a.alert AND e.event = 'closed')) AS still_open
FROM public.alerts a GROUP BY use_case, severity, rule ORDER BY use_case, severity, rule"""


@dataclass(frozen=True)
class NewestRun:
    """The newest run of a kind."""

    use_case: str
    kind: str
    finished_at: datetime
    answers: int


@dataclass(frozen=True)
class NewestFigure:
    """A figure of the newest window that has its subject; `promotion` is value, low and high then, of performance."""

    use_case: str
    version: str
    as_of: datetime
    subject: str
    metric: str
    about: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    verdict: str
    promotion: Sequence[float | None] | None


@dataclass(frozen=True)
class Alerts:
    """How many alerts of a rule were opened, and how many of them are open."""

    use_case: str
    severity: str
    rule: str
    opened: int
    still_open: int


@dataclass(frozen=True)
class Exported:
    """Everything that a scrape tells."""

    runs: Sequence[NewestRun] = ()
    figures: Sequence[NewestFigure] = ()
    alerts: Sequence[Alerts] = ()


def read(connection: Connection, before: Exported) -> Exported:
    """What is known now; figures are read again only where there is a newer run. Nothing without tables."""
    if not table_exists(connection, "public.alert_events"):
        return Exported()
    runs = _rows(connection, RUNS, NewestRun)
    figures = before.figures if runs == before.runs else _rows(connection, NEWEST_FIGURES, NewestFigure)
    return Exported(runs, figures, _rows(connection, ALERTS, Alerts))


def _rows(connection: Connection, query: LiteralString, row: type[Row]) -> list[Row]:
    with connection.cursor(row_factory=class_row(row)) as cursor:
        return cursor.execute(query).fetchall()
