"""Typed rows of one table, as of a moment -> its append-only table, if they differ from what is known."""

import io
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

import pyarrow as arrow
from psycopg import Cursor, sql
from psycopg.rows import TupleRow
from pyarrow import csv

from asof.errors import HistoryError
from asof.extract_schema import RawTable
from training.data.snapshots.tables import Connection, column_definitions, value_types

log = logging.getLogger(__name__)

COPY_BATCH_ROWS = 50_000

CREATE_STAGING = "CREATE TEMP TABLE staging ({typed_columns}) ON COMMIT DROP"
# The newest version of each entity that is known at known_at.
CREATE_KNOWN = """
CREATE TEMP TABLE known ON COMMIT DROP AS
SELECT DISTINCT ON ({keys}) {columns} FROM {table}
WHERE as_of = {as_of} AND created_at <= {known_at}
ORDER BY {keys}, created_at DESC"""
COUNT_KEPT = "SELECT count(*) FROM known LEFT JOIN staging USING ({keys}) WHERE staging.{key} IS NULL"
NEWEST_CREATED_AT = "SELECT max(created_at) FROM {table} WHERE as_of = {as_of}"
# If nothing is known of an entity, the row differs by its key.
DIFFERING = "FROM staging LEFT JOIN known USING ({keys}) WHERE ROW(staging.*) IS DISTINCT FROM ROW(known.*)"
COUNT_DIFFERING = f"SELECT count(*) {DIFFERING}"
# In the order of the primary key: its index grows faster than with keys in random order.
INSERT = f"""
INSERT INTO {{table}} ({{columns}}, as_of, created_at)
SELECT staging.*, {{as_of}}, {{known_at}} {DIFFERING} ORDER BY {{keys}}"""


@dataclass(frozen=True)
class Times:
    """The moment that rows describe, and the moment at which they were known; both in UTC."""

    as_of: datetime
    known_at: datetime


def append(connection: Connection, table: RawTable, rows: arrow.Table, times: Times) -> int:
    """Adds the rows that are new or differ from the newest known version of (keys..., as_of); returns their number.

    `connection` must be that of a `load_transaction`. Raises HistoryError if rows would be added although the table
    holds rows of this as_of with the same or a later created_at: that would change what was known then.
    """
    target = _Target(connection, table, times)
    target.run(CREATE_STAGING)
    _copy(connection, rows)
    target.run(CREATE_KNOWN)
    kept = target.value(COUNT_KEPT)
    _refuse_to_rewrite(target)
    added = target.run(INSERT).rowcount
    target.run("DROP TABLE staging, known")
    log.info("%s: %d rows read, %d new; %d known rows not delivered, kept", table.name, rows.num_rows, added, kept)
    return added


@dataclass(frozen=True)
class _Target:
    """One table and the times of one load, to fill in and run the statements above."""

    connection: Connection
    table: RawTable
    times: Times

    def run(self, statement: LiteralString) -> Cursor[TupleRow]:
        names = {
            "table": sql.Identifier("public", self.table.name),
            "keys": sql.SQL(", ").join(sql.Identifier(key.name) for key in self.table.key_columns),
            "key": sql.Identifier(self.table.key_columns[0].name),
            "columns": sql.SQL(", ").join(sql.Identifier(column.name) for column in self.table.columns),
            "typed_columns": column_definitions(value_types(self.table)),
            "as_of": sql.Literal(self.times.as_of),
            "known_at": sql.Literal(self.times.known_at),
        }
        return self.connection.execute(sql.SQL(statement).format(**names))

    def value(self, query: LiteralString) -> Any:
        row = self.run(query).fetchone()
        return row and row[0]


def _copy(connection: Connection, rows: arrow.Table) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY staging FROM STDIN (FORMAT csv)") as copy:
        for batch in rows.to_batches(max_chunksize=COPY_BATCH_ROWS):
            text = io.BytesIO()
            csv.write_csv(batch, text, csv.WriteOptions(include_header=False))
            copy.write(text.getbuffer())
    connection.execute("ANALYZE staging")


def _refuse_to_rewrite(target: _Target) -> None:
    newest, times = target.value(NEWEST_CREATED_AT), target.times
    if newest is not None and newest >= times.known_at and (differing := target.value(COUNT_DIFFERING)):
        raise HistoryError(
            f"{target.table.name} as of {times.as_of.isoformat()}: {differing} rows differ from what was known at "
            f"{times.known_at.isoformat()}, but later rows, known at {newest.astimezone(UTC).isoformat()}, are already "
            "loaded. Give a known_at after that moment; nothing was loaded."
        )
