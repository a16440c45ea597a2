"""Typed rows of one table, as of a moment -> its append-only table, if they differ from what is known.

They are staged first, in batches: rows that break a rule are found before any is added.
"""

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

import pyarrow as arrow
from psycopg import Copy, Cursor, sql
from psycopg.rows import TupleRow
from pyarrow import csv

from asof.errors import HistoryError
from asof.extracts.schema import RawTable
from training.data.snapshots.months.schema import require_month
from training.data.snapshots.tables import Connection, column_definitions, value_types

log = logging.getLogger(__name__)

COPY_BATCH_ROWS = 50_000

CREATE_STAGING = "CREATE TEMP TABLE {staging} ({typed_columns}) ON COMMIT DROP"
# The newest version of each entity that is known at known_at.
CREATE_KNOWN = """
CREATE TEMP TABLE known ON COMMIT DROP AS
SELECT DISTINCT ON ({keys}) {columns} FROM {table}
WHERE as_of = {as_of} AND created_at <= {known_at}
ORDER BY {keys}, created_at DESC"""
COUNT_STAGED = "SELECT count(*) FROM {staging}"
COUNT_KEPT = "SELECT count(*) FROM known LEFT JOIN {staging} AS staging USING ({keys}) WHERE staging.{key} IS NULL"
NEWEST_CREATED_AT = "SELECT max(created_at) FROM {table} WHERE as_of = {as_of}"
# If nothing is known of an entity, the row differs by its key.
DIFFERING = """
FROM {staging} AS staging LEFT JOIN known USING ({keys}) WHERE ROW(staging.*) IS DISTINCT FROM ROW(known.*)"""
COUNT_DIFFERING = f"SELECT count(*) {DIFFERING}"
# In the order of the primary key: its index grows faster than with keys in random order.
INSERT = """
INSERT INTO {{table}} ({{columns}}, as_of, created_at)
SELECT staging.*, {{as_of}}, {{known_at}} {rows} ORDER BY {{keys}}"""
INSERT_ALL, INSERT_DIFFERING = INSERT.format(rows="FROM {staging} AS staging"), INSERT.format(rows=DIFFERING)


@dataclass(frozen=True)
class Times:
    """The moment that rows describe, and the moment at which they were known; both in UTC."""

    as_of: datetime
    known_at: datetime


@contextmanager
def staging(connection: Connection, table: RawTable) -> Iterator[Callable[[arrow.Table], None]]:
    """Gives a function that adds typed rows to the table's staging table, which lasts as long as the transaction."""
    target = _Target(connection, table)
    target.run(CREATE_STAGING)
    with connection.cursor() as cursor, cursor.copy(target.filled("COPY {staging} FROM STDIN (FORMAT csv)")) as copy:
        yield lambda rows: _copy(copy, rows)
    target.run("ANALYZE {staging}")


def append(connection: Connection, table: RawTable, times: Times) -> int:
    """Adds the staged rows that are new or differ from the newest known version of (keys..., as_of); returns how many.

    `connection` must be that of a `load_transaction`. Raises HistoryError if rows would be added although the table
    holds rows of this as_of with the same or a later created_at, which would change what was known then, or if its
    month was dropped.
    """
    require_month(connection, table.name, times.as_of)
    target = _Target(connection, table, times)
    rows, newest, kept = target.value(COUNT_STAGED), target.value(NEWEST_CREATED_AT), 0
    if newest is None:
        added = target.run(INSERT_ALL).rowcount
    else:
        target.run(CREATE_KNOWN)
        kept = target.value(COUNT_KEPT)
        _refuse_to_rewrite(target, newest)
        added = target.run(INSERT_DIFFERING).rowcount
        target.run("DROP TABLE known")
    log.info("%s: %d rows read, %d new; %d known rows not delivered, kept", table.name, rows, added, kept)
    return added


@dataclass(frozen=True)
class _Target:
    """One table and the times of one load, to fill in and run the statements above."""

    connection: Connection
    table: RawTable
    times: Times | None = None

    def run(self, statement: LiteralString) -> Cursor[TupleRow]:
        return self.connection.execute(self.filled(statement))

    def filled(self, statement: LiteralString) -> sql.Composed:
        names: dict[str, sql.Composable] = {
            "table": sql.Identifier("public", self.table.name),
            "keys": sql.SQL(", ").join(sql.Identifier(key.name) for key in self.table.key_columns),
            "key": sql.Identifier(self.table.key_columns[0].name),
            "staging": staging_table(self.table),
            "columns": sql.SQL(", ").join(sql.Identifier(column.name) for column in self.table.columns),
            "typed_columns": column_definitions(value_types(self.table)),
        }
        if self.times:
            names |= {"as_of": sql.Literal(self.times.as_of), "known_at": sql.Literal(self.times.known_at)}
        return sql.SQL(statement).format(**names)

    def value(self, query: LiteralString) -> Any:
        row = self.run(query).fetchone()
        return row and row[0]


def staging_table(table: RawTable) -> sql.Identifier:
    """The temporary table that holds a table's rows before they are added."""
    return sql.Identifier("pg_temp", f"staging_{table.name}")


def _copy(copy: Copy, rows: arrow.Table) -> None:
    for batch in rows.to_batches(max_chunksize=COPY_BATCH_ROWS):
        text = io.BytesIO()
        csv.write_csv(batch, text, csv.WriteOptions(include_header=False))
        copy.write(text.getbuffer())


def _refuse_to_rewrite(target: _Target, newest: datetime) -> None:
    times = target.times
    if times and newest >= times.known_at and (differing := target.value(COUNT_DIFFERING)):
        raise HistoryError(
            f"{target.table.name} as of {times.as_of.isoformat()}: {differing} rows differ from what was known at "
            f"{times.known_at.isoformat()}, but later rows, known at {newest.astimezone(UTC).isoformat()}, are already "
            "loaded. Give a known_at after that moment; nothing was loaded."
        )
