"""How many rows the ledger has, by window, version, status and verdicts: one pass, counted in PostgreSQL.

Answers to what-if requests are not among them.
A refusal that read no stored value belongs to the newest window before it.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from asof.ledger.outcomes.report import answers_requests
from asof.ledger.schema import NOT_HYPOTHETICAL
from asof.settings import Settings
from asof.use_case import UseCase
from monitoring.measuring.periods import month_of, window_column

MODELS: LiteralString = """
SELECT id, version, run_id, features, created_at FROM ledger.models WHERE use_case = %s ORDER BY created_at, id"""
COUNTS: LiteralString = """
SELECT model, {window} AS as_of, CASE WHEN {window} IS NULL THEN date_trunc('hour', at, 'UTC') END AS hour, status,
    code, verdicts, num_nonnulls(floats, integers, texts) > 0 AS has_values, count(*) AS rows
FROM ledger.predictions p WHERE model = ANY({models}) AND at <= {known_at} AND {real} GROUP BY 1, 2, 3, 4, 5, 6, 7"""
OUTCOMES: LiteralString = """
SELECT {window}, count(*) FROM ledger.outcomes p WHERE use_case = {use_case} AND created_at <= {known_at} GROUP BY 1"""
OUTCOMES_OF_REQUESTS: LiteralString = """
SELECT {window}, count(*) FROM ledger.outcomes o JOIN ledger.predictions p
    ON p.request = o.request AND p.item IS NOT DISTINCT FROM o.item
WHERE o.use_case = {use_case} AND o.created_at <= {known_at} AND p.model = ANY({models}) GROUP BY 1"""
EXISTS: LiteralString = "SELECT to_regclass('ledger.predictions') IS NOT NULL"
NO_VERSION = "none"
"""The version of answers without a model: refusals of a service that had none yet."""


@dataclass(frozen=True)
class AnsweringModel:
    """A row of `ledger.models`: where the values of a version's features are in a prediction."""

    id: int
    version: str | None
    run_id: str
    features: Sequence[Mapping[str, Any]]
    created_at: datetime

    @property
    def name(self) -> str:
        """The version; of an unregistered model its run."""
        return self.version or self.run_id or NO_VERSION


@dataclass(frozen=True)
class Count:
    """Rows of one version in one window that are alike. `has_values`: they have the values that were read."""

    as_of: datetime
    version: str
    status: int
    code: str | None
    verdicts: str | None
    features: Sequence[str] = field(repr=False)
    has_values: bool
    rows: int


@dataclass(frozen=True)
class Census:
    """What the ledger has of a use case; `outcomes` are how many were reported for each window."""

    models: Sequence[AnsweringModel]
    counts: Sequence[Count]
    outcomes: Mapping[datetime, int]

    @property
    def rows(self) -> Mapping[datetime, int]:
        """The number of rows of each window, the oldest first."""
        rows: Counter[datetime] = Counter()
        for each in self.counts:
            rows[each.as_of] += each.rows
        return dict(sorted(rows.items()))

    def of(self, as_of: datetime) -> Mapping[str, Sequence[Count]]:
        """The counts of a window by version."""
        by_version: dict[str, list[Count]] = {}
        for each in self.counts:
            if each.as_of == as_of:
                by_version.setdefault(each.version, []).append(each)
        return by_version


NOTHING = Census((), (), {})


def take_census(settings: Settings, use_case: UseCase, known_at: datetime) -> Census:
    """Counts the rows up to `known_at`; nothing where there is no ledger yet."""
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        if connection.execute(EXISTS).fetchone() == (False,):
            return NOTHING
        with connection.cursor(row_factory=dict_row) as cursor:
            models = {row["id"]: AnsweringModel(**row) for row in cursor.execute(MODELS, (use_case.name,))}
            rows = cursor.execute(_query(COUNTS, use_case, models, known_at)).fetchall()
        outcomes = OUTCOMES_OF_REQUESTS if answers_requests(use_case) else OUTCOMES
        reported: dict[datetime | None, int] = dict(
            connection.execute(_query(outcomes, use_case, models, known_at)).fetchall()
        )
    return Census(tuple(models.values()), tuple(_counts(rows, models)), _in_utc(reported))


def _query(
    query: LiteralString, use_case: UseCase, models: Mapping[int, AnsweringModel], known_at: datetime
) -> sql.Composed:
    return sql.SQL(query).format(
        window=window_column(use_case),
        use_case=sql.Literal(use_case.name),
        models=sql.Literal([*models]),
        known_at=sql.Literal(known_at),
        real=sql.SQL(NOT_HYPOTHETICAL),
    )


def _counts(rows: Sequence[Mapping[str, Any]], models: Mapping[int, AnsweringModel]) -> Iterator[Count]:
    windows = sorted({row["as_of"].astimezone(UTC) for row in rows if row["as_of"]})
    for row in rows:
        model, own = models[row["model"]], row["as_of"]
        yield Count(
            as_of=own.astimezone(UTC) if own else _window_at(row["hour"].astimezone(UTC), windows),
            version=model.name,
            features=[each["name"] for each in model.features],
            **{name: row[name] for name in ("status", "code", "verdicts", "has_values", "rows")},
        )


def _window_at(moment: datetime, windows: Sequence[datetime]) -> datetime:
    """The newest window up to a moment, or else the first; without any the month."""
    if not windows:
        return month_of(moment)
    return windows[max(0, bisect_right(windows, moment) - 1)]


def _in_utc(counts: Mapping[datetime | None, int]) -> Mapping[datetime, int]:
    return {moment.astimezone(UTC): number for moment, number in counts.items() if moment}
