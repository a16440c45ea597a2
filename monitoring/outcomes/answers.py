"""The answers of the ledger that count, each with the outcome that clients reported, streamed by one COPY.

Of several answers of one version for an entity at one moment, the first counts: it is what was acted on, and asking
again, perhaps once the outcome is known, must not replace it. The answer to a what-if request is none of them. Where
features come in the request, each request is a case of its own. Of several outcomes the latest observed counts, and of
one observation the latest known version.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg
import pyarrow as arrow
from psycopg import sql

from asof.errors import HistoryError
from asof.extracts.cadence import moment_text
from asof.ledger.outcomes.record import READERS_LOCK
from asof.ledger.outcomes.report import answers_requests
from asof.ledger.schema import NOT_HYPOTHETICAL
from asof.settings import Settings
from asof.use_case import FromStore, UseCase
from monitoring.outcomes.labels import microseconds
from training.data.snapshots.reading.copy_query import copy_rows
from training.data.snapshots.tables import Connection

ANSWERS: LiteralString = """
WITH versions AS (
    SELECT DISTINCT ON (event) * FROM ledger.outcomes
    WHERE use_case = {use_case} AND created_at <= {known_at} AND {of_moments} ORDER BY event, created_at DESC, id DESC
), reported AS (
    SELECT {outcome_unit},
        (array_agg((outcome #>> '{{}}')::{type} ORDER BY {latest}))[1] AS outcome,
        max(observed_at) AS observed_at,
        (array_agg(created_at ORDER BY {latest}))[1] AS created_at,
        (array_agg(acted ORDER BY {latest}) FILTER (WHERE acted IS NOT NULL))[1] AS acted,
        (array_agg(control ORDER BY {latest}) FILTER (WHERE control IS NOT NULL))[1] AS control
    FROM versions GROUP BY {outcome_groups}
), answers AS (
    SELECT DISTINCT ON ({answer_unit}, m.version, m.run_id) {answer_unit_named}, {moment} AS moment, p.at, p.request,
        p.item, p.entity, p.score, p.scores, p.decision, m.version, m.run_id, m.threshold
    FROM ledger.predictions p JOIN ledger.models m ON m.id = p.model
    WHERE m.use_case = {use_case} AND p.status = 200 AND {real} AND {moment} BETWEEN {first} AND {last}
        AND p.at BETWEEN {first} - interval '31 days' AND {known_at}
    ORDER BY {answer_unit}, m.version, m.run_id, p.at, p.request, p.item
)
SELECT {columns} FROM answers LEFT JOIN reported USING (unit, part)
ORDER BY moment, answers.entity COLLATE "C", at, request, item"""
"""31 days: a value that is from the future, and flagged, may give an answer a moment after it."""
COMPLETED: LiteralString = """
SELECT target_as_of, created_at FROM ledger.complete_outcomes
WHERE use_case = %s AND target_as_of BETWEEN %s AND %s AND created_at <= %s"""

TYPES = {"Bool": ("boolean", arrow.bool_()), "String": ("text", arrow.string()), "Float64": ("float8", arrow.float64())}
"""Of outcomes, by the target's type of labels."""
MOMENT = arrow.timestamp("us", "UTC")
COLUMNS: Mapping[str, tuple[LiteralString, arrow.DataType]] = {
    "at": ("answers.at", MOMENT),
    "request": ("answers.request::text", arrow.string()),
    "item": ("answers.item", arrow.int64()),
    "entity": ("answers.entity", arrow.string()),
    "as_of": ("moment", MOMENT),
    "version": ("answers.version", arrow.string()),
    "run_id": ("answers.run_id", arrow.string()),
    "score": ("answers.score", arrow.float64()),
    "scores": ("array_to_json(answers.scores)", arrow.string()),
    "decision": ("answers.decision", arrow.int64()),
    "threshold": ("answers.threshold", arrow.float64()),
    "observed_at": ("reported.observed_at", MOMENT),
    "created_at": ("reported.created_at", MOMENT),
    "acted": ("reported.acted", arrow.bool_()),
    "control": ("reported.control", arrow.bool_()),
    "outcome": ("reported.outcome", arrow.null()),
}
"""Of the rows, with their SQL; the type of `outcome` is the target's."""


@dataclass(frozen=True)
class CountedAnswers:
    """The answers, and when the outcomes of a moment were declared complete; `known_at` as given, or the present."""

    rows: arrow.Table
    completed: Mapping[datetime, Sequence[datetime]]
    known_at: datetime


def counted_answers(
    settings: Settings, use_case: UseCase, first: datetime, last: datetime, known_at: datetime | None
) -> CountedAnswers:
    """The answers whose moment is from `first` to `last`, with what was known at `known_at` (None: now).

    The moment is the `as_of` whose outcome is predicted, or that of the answer where all features come in the request.
    Raises HistoryError where `known_at` is in the future.
    """
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        connection.execute(READERS_LOCK, [use_case.name])
        ((now,),) = connection.execute("SELECT clock_timestamp()")
        known_at = known_at or now
        if known_at > now:
            raise HistoryError(f"known_at {moment_text(known_at)} lies in the future: give a moment up to now.")
        types = {name: each for name, (_, each) in COLUMNS.items()} | {"outcome": TYPES[use_case.target.label_type][1]}
        schema = arrow.schema(types)
        copied = {name: arrow.int64() if each == MOMENT else each for name, each in types.items()}
        query = _query(use_case, first, last, known_at)
        # The planner knows nothing of the parts of this query, and would compare each answer with each outcome.
        connection.execute("SET LOCAL enable_nestloop = off")
        chunks = [each.cast(schema) for each in copy_rows(connection, query, copied)]
        rows = arrow.concat_tables([schema.empty_table(), *chunks])
        return CountedAnswers(rows, _completed(connection, (use_case.name, first, last, known_at)), known_at)


def _completed(
    connection: Connection, parameters: tuple[str, datetime, datetime, datetime]
) -> Mapping[datetime, Sequence[datetime]]:
    completed: defaultdict[datetime, list[datetime]] = defaultdict(list)
    for as_of, created_at in connection.execute(COMPLETED, parameters):
        completed[as_of].append(created_at)
    return completed


def _query(use_case: UseCase, first: datetime, last: datetime, known_at: datetime) -> sql.Composed:
    by_request = answers_requests(use_case)
    groups: LiteralString = "request, item" if by_request else "target_as_of, entity"
    unit: LiteralString = "{0}request AS unit, coalesce({0}item, -1) AS part"
    if not by_request:
        unit = "{0}target_as_of AS unit, {0}entity AS part"
    stored = isinstance(use_case.source, FromStore)
    return sql.SQL(ANSWERS).format(
        use_case=sql.Literal(use_case.name),
        first=sql.Literal(first),
        last=sql.Literal(last),
        known_at=sql.Literal(known_at),
        type=sql.SQL(TYPES[use_case.target.label_type][0]),
        latest=sql.SQL("observed_at DESC, created_at DESC, id DESC"),
        real=sql.SQL(NOT_HYPOTHETICAL),
        moment=sql.SQL("p.target_as_of" if stored else "p.at"),
        of_moments=sql.SQL("true" if by_request else "target_as_of BETWEEN {} AND {}").format(
            sql.Literal(first), sql.Literal(last)
        ),
        outcome_groups=sql.SQL(groups),
        outcome_unit=sql.SQL(unit).format(sql.SQL("")),
        answer_unit=sql.SQL("p.request, p.item" if by_request else "p.target_as_of, p.entity"),
        answer_unit_named=sql.SQL(unit).format(sql.SQL("p.")),
        columns=sql.SQL(", ").join(
            microseconds(sql.SQL(text)) if each == MOMENT else sql.SQL(text) for text, each in COLUMNS.values()
        ),
    )
