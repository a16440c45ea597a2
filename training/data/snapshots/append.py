"""Typed rows of one table, as of a moment -> its append-only table, where they differ from what is known."""

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
from training.data.snapshots.tables import Connection, declared, value_types

log = logging.getLogger(__name__)

BATCH = 50_000
"""Rows that are written out for COPY at once."""

STAGE = "CREATE TEMP TABLE staging ({typed_columns}) ON COMMIT DROP"
# The newest version of each entity that is known at known_at.
KNOWN = """
CREATE TEMP TABLE known ON COMMIT DROP AS
SELECT DISTINCT ON ({entity}) {columns} FROM {table}
WHERE as_of = {as_of} AND created_at <= {known_at}
ORDER BY {entity}, created_at DESC"""
LEFT_OUT = "SELECT count(*) FROM known WHERE NOT EXISTS (SELECT FROM staging WHERE staging.{entity} = known.{entity})"
NEWEST = "SELECT max(created_at) FROM {table} WHERE as_of = {as_of}"
# Where nothing is known of an entity, the row differs by its key.
DIFFERING = "FROM staging LEFT JOIN known USING ({entity}) WHERE ROW(staging.*) IS DISTINCT FROM ROW(known.*)"
COUNT = f"SELECT count(*) {DIFFERING}"
# In the order of the primary key, whose index grows faster so than in a random one.
INSERT = f"""
INSERT INTO {{table}} ({{columns}}, as_of, created_at)
SELECT staging.*, {{as_of}}, {{known_at}} {DIFFERING} ORDER BY {{entity}}"""


@dataclass(frozen=True)
class Times:
    """The moment that rows describe, and the moment at which they were known; both in UTC."""

    as_of: datetime
    known_at: datetime


def append(connection: Connection, table: RawTable, rows: arrow.Table, times: Times) -> int:
    """Adds the rows that are new or differ from the newest known version of (entity, as_of); gives their number.

    `connection` must have its turn (`training.data.snapshots.tables.turn`). Raises HistoryError where rows would be
    added although the table holds rows of this as_of with the same or a later created_at: what was known then would
    change."""
    target = _Target(connection, table, times)
    target.run(STAGE)
    _copy(connection, rows)
    target.run(KNOWN)
    left_out = target.value(LEFT_OUT)
    _refuse_to_rewrite(target)
    added = target.run(INSERT).rowcount
    target.run("DROP TABLE staging, known")
    log.info("%s: %d rows read, %d new; %d known ones left out, and kept", table.name, rows.num_rows, added, left_out)
    return added


@dataclass(frozen=True)
class _Target:
    """One table and the moments of one load: fills them into the statements above, and runs these."""

    connection: Connection
    table: RawTable
    times: Times

    def run(self, statement: LiteralString) -> Cursor[TupleRow]:
        names = {
            "table": sql.Identifier("public", self.table.name),
            "entity": sql.Identifier(self.table.columns[0].name),
            "columns": sql.SQL(", ").join(sql.Identifier(column.name) for column in self.table.columns),
            "typed_columns": declared(value_types(self.table)),
            "as_of": sql.Literal(self.times.as_of),
            "known_at": sql.Literal(self.times.known_at),
        }
        return self.connection.execute(sql.SQL(statement).format(**names))

    def value(self, query: LiteralString) -> Any:
        row = self.run(query).fetchone()
        return row and row[0]


def _copy(connection: Connection, rows: arrow.Table) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY staging FROM STDIN (FORMAT csv)") as copy:
        for batch in rows.to_batches(max_chunksize=BATCH):
            text = io.BytesIO()
            csv.write_csv(batch, text, csv.WriteOptions(include_header=False))
            copy.write(text.getbuffer())
    connection.execute("ANALYZE staging")


def _refuse_to_rewrite(target: _Target) -> None:
    newest, times = target.value(NEWEST), target.times
    if newest is not None and newest >= times.known_at and (differing := target.value(COUNT)):
        raise HistoryError(
            f"{target.table.name} as of {times.as_of.isoformat()}: {differing} rows differ from what was known at "
            f"{times.known_at.isoformat()}, but rows known at {newest.astimezone(UTC).isoformat()} are there already, "
            "so the load would change what was known. Give a known_at after that moment; nothing was loaded."
        )
