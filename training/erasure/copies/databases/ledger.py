"""Copies in the ledger: kept answers, a challenger's scores of them, and outcomes that came for them.

The row of an answer or score stays as a stub with its moment, request, model and status, so that the number of kept
answers adds up, and who asks for the request is told that it was erased. A month that an interrupted `flows ledger
keep` has detached is a table of its own.
"""

from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from asof.ledger.partitions import PREDICTIONS, SHADOW_SCORES, partitions
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
DELETE, COUNT_ROWS = "DELETE ", "SELECT count(*) "
STUBS: dict[str, LiteralString] = {
    PREDICTIONS: """
UPDATE {table} AS p SET (code, entity, target_as_of, score, decision, api_key, caller_id, verdicts, scores,
    floats, integers, texts, moments) = ROW ({erased}, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL)""",
    SHADOW_SCORES: """
UPDATE {table} AS p SET (code, entity, score, decision, scores) = ROW ({erased}, NULL, NULL, NULL, NULL)""",
}

MOVING = "of a month that is being moved: run `flows ledger keep` again, then this command"


def erase(work: Work) -> Iterator[Copy]:
    """Of the whole tables, then of each month that was detached and not dropped."""
    with psycopg.connect(work.settings.ledger_conninfo(), autocommit=True) as connection:
        for table in (PREDICTIONS, SHADOW_SCORES):  # a ledger of an older version has no scores
            if table_exists(connection, f"ledger.{table}"):
                yield from _erase(connection, work, table, table)
        if not table_exists(connection, f"ledger.{PREDICTIONS}"):
            return
        for each in partitions(connection):
            if each.hidden:
                try:
                    yield from _erase(connection, work, each.name, each.table)
                except psycopg.errors.InsufficientPrivilege:  # it is the owner's alone
                    yield Copy(f"ledger.{each.name}", NOT_COUNTED, MOVING)


def _erase(connection: psycopg.Connection[Any], work: Work, name: str, whole: str) -> list[Copy]:
    """Of the table `name`, `whole` or a month of it. Outcomes go in the same transaction as the answers that they came
    for, and before them, since they are found by them.
    """
    table, counts = f"ledger.{name}", {}
    with connection.transaction():
        connection.execute(ERASING)
        if whole == PREDICTIONS:
            counts["ledger.outcomes"] = _run(connection, work, table, (DELETE + OF_OUTCOMES, COUNT_ROWS + OF_OUTCOMES))
        counts[table] = _run(connection, work, table, (STUBS[whole] + ANSWERS, COUNT + ANSWERS))
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
