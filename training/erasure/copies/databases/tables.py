"""Copies in the tables of snapshots and labels, and in the table of scores."""

from collections.abc import Iterator, Sequence
from typing import LiteralString

import psycopg
from psycopg import sql

from asof.extracts.schema import ExtractSchema, RawTable
from asof.extracts.sources import InPlace
from training.data.snapshots.owned_tables import table_exists
from training.data.snapshots.tables import LOAD_LOCK, Connection
from training.erasure.work import Copy, Work

ERASING = "SET LOCAL asof.erasing = 'on'"
"""Lets the triggers of append-only tables pass (`training.data.snapshots.tables`, `asof.ledger.schema`)."""
OF_TABLE = "FROM {table} WHERE {subject} AND as_of <= {until}"
OF_SCORES = """
FROM public.scored_users AS scored WHERE {subject} AND scoring_run IN (
    SELECT scoring_run FROM public.scoring_runs WHERE use_case = {use_case} AND as_of <= {until})"""
FORGET_PLAN = """
UPDATE public.scoring_runs SET cuts = NULL
WHERE use_case = {use_case} AND EXISTS (SELECT FROM unnest(cuts) AS cut WHERE {subject})"""
"""An unfinished run has the entities at which its ranges begin; one that has lost its plan is not resumed."""
FORGET_LAST = "UPDATE public.scoring_runs SET last = NULL WHERE use_case = {use_case} AND {subject}"
"""Before there were ranges, a run had the last entity that it scored."""


def erase(work: Work) -> list[Copy]:
    """Rows of every table with all named keys, under the lock of loads; of tables in place they are only counted."""
    schema, copies = work.use_case.extract, list[Copy]()
    with psycopg.connect(work.settings.conninfo(), autocommit=True) as connection:
        with connection.transaction():
            if work.apply:
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOAD_LOCK,))
                connection.execute(ERASING)
            for table in _tables(connection, work, schema):
                copies.append(_erase_rows(connection, work, table))
            copies += _erase_scores(connection, work)
        if work.apply:
            forget(connection, [copy.place.split(".") for copy in copies if copy.count and not copy.left])
    return copies


def erased(connection: Connection, work: Work, query: LiteralString, **parts: sql.Composable) -> int:
    """Deletes the rows of a `FROM ... WHERE ...`, or counts them."""
    names = {"use_case": sql.Literal(work.use_case.name), "until": sql.Literal(work.until)} | parts
    rows = sql.SQL(query).format(**names)
    if work.apply:
        return connection.execute(sql.SQL("DELETE ") + rows).rowcount
    (count,) = connection.execute(sql.SQL("SELECT count(*) ") + rows).fetchone() or (0,)
    return int(count)


def forget(connection: Connection, tables: Sequence[Sequence[str]]) -> None:
    """Frees the space of deleted rows, and replaces statistics, which have values of some rows.

    PostgreSQL only warns where our role may not: then its autovacuum does so later.
    """
    for table in tables:
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(*table)))


def _tables(connection: Connection, work: Work, schema: ExtractSchema) -> Iterator[RawTable]:
    for table in (*schema.tables, schema.labels):
        if work.subject.has([key.name for key in table.key_columns]) and table_exists(
            connection, f"public.{table.name}"
        ):
            yield table


def _erase_rows(connection: Connection, work: Work, table: RawTable) -> Copy:
    place = f"public.{table.name}"
    parts = {"table": sql.Identifier("public", table.name), "subject": work.subject.where()}
    if not isinstance(table.source, InPlace):
        return Copy(place, erased(connection, work, OF_TABLE, **parts))
    query = sql.SQL("SELECT count(*) " + OF_TABLE).format(until=sql.Literal(work.until), **parts)
    (count,) = connection.execute(query).fetchone() or (0,)
    return Copy(table.source.table, count, "used in place: delete its rows there")


def _erase_scores(connection: Connection, work: Work) -> Iterator[Copy]:
    if not table_exists(connection, "public.scored_users"):
        return
    entity = sql.Identifier("entity")
    yield Copy("public.scored_users", erased(connection, work, OF_SCORES, subject=work.subject.where_text(entity)))
    if work.apply:
        ranges = table_exists(connection, "public.scoring_ranges")
        forget_it, column = (FORGET_PLAN, "cut") if ranges else (FORGET_LAST, "last")
        named = work.subject.where_text(sql.Identifier(column))
        connection.execute(sql.SQL(forget_it).format(use_case=sql.Literal(work.use_case.name), subject=named))
