"""Copies in the ledger: kept answers, and outcomes that came for them.

An answer's row stays as a stub with its moment, request, model and status, so that the number of kept answers adds up,
and who asks for the request is told that it was erased. A month that an interrupted `flows ledger keep` has detached is
a table of its own.
"""

from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from asof.ledger.partitions import partitions
from asof.ledger.reading.kept_answer import ERASED
from training.data.snapshots.owned_tables import table_exists
from training.erasure.copies.databases.tables import ERASING, forget
from training.erasure.work import NOT_COUNTED, Copy, Work

ANSWERS = """
WHERE p.model IN (SELECT id FROM ledger.models WHERE use_case = {use_case})
    AND {answer} AND p.at <= {until}"""
OF_OUTCOMES = """
FROM ledger.outcomes AS o WHERE o.use_case = {use_case} AND o.created_at <= {until} AND ({outcome} OR EXISTS (
    SELECT FROM {table} AS p WHERE p.request = o.request AND p.item IS NOT DISTINCT FROM o.item
        AND p.model IN (SELECT id FROM ledger.models WHERE use_case = {use_case}) AND {answer}))"""
COUNT = "SELECT count(*) FROM {table} AS p"
STUB = """
UPDATE {table} AS p SET (code, entity, target_as_of, score, decision, api_key, caller_id, verdicts, scores,
    floats, integers, texts, moments) = ROW ({erased}, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL)"""


WHOLE = "ledger.predictions"
MOVING = "of a month that is being moved: run `flows ledger keep` again, then this command"


def erase(work: Work) -> Iterator[Copy]:
    """Of the whole table, then of each month that was detached and not dropped."""
    with psycopg.connect(work.settings.ledger_conninfo(), autocommit=True) as connection:
        if not table_exists(connection, WHOLE):
            return
        yield from _erase(connection, work, WHOLE)
        for name in (f"ledger.{each.name}" for each in partitions(connection) if each.hidden):
            try:
                yield from _erase(connection, work, name)
            except psycopg.errors.InsufficientPrivilege:  # it is the owner's alone
                yield Copy(name, NOT_COUNTED, MOVING)


def _erase(connection: psycopg.Connection[Any], work: Work, table: str) -> list[Copy]:
    """Outcomes first, in the same transaction, since they are found by the answers that they came for."""
    with connection.transaction():
        connection.execute(ERASING)
        outcomes = _run(connection, work, table, (f"DELETE {OF_OUTCOMES}", f"SELECT count(*) {OF_OUTCOMES}"))
        answers = _run(connection, work, table, (STUB + ANSWERS, COUNT + ANSWERS))
    counts = {"ledger.outcomes": outcomes, table: answers}
    if work.apply:
        forget(connection, [place.split(".") for place, count in counts.items() if count])
    return [Copy(place, count) for place, count in counts.items()]


def _run(connection: psycopg.Connection[Any], work: Work, table: str, statements: tuple[LiteralString, ...]) -> int:
    """The number of rows that are changed, or counted by the second statement."""
    change, query = statements
    parts: dict[str, sql.Composable] = {
        "table": sql.Identifier(*table.split(".")),
        "use_case": sql.Literal(work.use_case.name),
        "until": sql.Literal(work.until),
        "erased": sql.Literal(ERASED),
        "answer": work.subject.where_text(sql.Identifier("p", "entity")),
        "outcome": work.subject.where_text(sql.Identifier("o", "entity")),
    }
    if work.apply:
        return connection.execute(sql.SQL(change).format(**parts)).rowcount
    (count,) = connection.execute(sql.SQL(query).format(**parts)).fetchone() or (0,)
    return int(count)
