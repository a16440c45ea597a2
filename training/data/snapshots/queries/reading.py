"""A raw table's query -> its typed rows in batches, checked, with a digest; never the whole in memory.

The rows come in the order of their keys, so a digest does not depend on the server's plan: it is the SHA-256 of what
`COPY (...) TO STDOUT (FORMAT csv)` writes of the recorded query.
"""

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import psycopg
import pyarrow as arrow
import pyarrow.compute as compute
from psycopg import sql

from asof.errors import SourceError, TrainingSetError
from asof.extracts.schema import Kind, RawTable
from asof.extracts.sources import PostgresQuery
from training.data.extracts.cell_types import ARROW_TYPES
from training.data.extracts.violation import Violation, merged
from training.data.snapshots.append import Times
from training.data.snapshots.queries.servers import Server
from training.data.snapshots.reading.copy_query import copy_rows

EXACT: Mapping[Kind, frozenset[str]] = {
    Kind.INTEGER: frozenset({"int2", "int4", "int8"}),
    Kind.NUMBER: frozenset({"float4", "float8", "numeric", "int2", "int4", "int8"}),
    Kind.BOOLEAN: frozenset({"bool"}),
    Kind.DATE: frozenset({"date"}),
}
"""Types of PostgreSQL that are read as the kind; a column of any other is read as text, and parsed like a file's."""
SQL_TYPES = {Kind.INTEGER: "bigint", Kind.NUMBER: "double precision", Kind.BOOLEAN: "boolean", Kind.DATE: "date"}
BATCH_BYTES = 2 * 2**20
"""As pandas and Arrow hold a batch several times, in several forms."""
CANCELLED = "57014"
"""SQLSTATE query_canceled: by the timeout, or by an administrator."""


@dataclass(frozen=True)
class QueriedTable:
    """What was read: the number of rows, the digest, and what the table `loads` records of the source."""

    table: RawTable
    rows: int
    sha256: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Checked:
    """A queried table and what is wrong with it; its rows are complete only if there is nothing."""

    table: QueriedTable
    findings: tuple[str, ...]


def read_query(server: Server, table: RawTable, times: Times, keep: Callable[[arrow.Table], None]) -> Checked:
    """Reads all rows of a table whose source is a PostgresQuery, as of and known at `times`.

    `keep` gets each batch of typed rows, up to the first that breaks a rule. Raises SourceError where the server is
    lost, the query fails or runs past its timeout, gives no rows, or has other columns than the table.
    """
    source = table.source
    assert isinstance(source, PostgresQuery)  # noqa: S101 - by the caller
    literals = {name: sql.Literal(getattr(times, name)).as_string(server.connection) for name in source.parameters}
    text = source.text(literals)
    with _explained(server, table, source):
        timeout = f"{round(source.timeout * 1000)}ms"
        server.connection.execute("SELECT set_config('statement_timeout', %s, true)", (timeout,))
        types = _types(server.connection, table, text)
        reading = _Reading(table, keep)
        query, columns = _select(table, text, types), _arrow_types(table, types)
        for batch in copy_rows(server.connection, query, columns, reading.sha, BATCH_BYTES):
            reading.add(batch)
    if not reading.rows:
        raise SourceError(
            f"{table.name}: the query gives no rows as of {times.as_of.isoformat()}, known at "
            f"{times.known_at.isoformat()}: its events begin later or were recorded later. Nothing was loaded."
        )
    facts = {"query": source.query, "server": server.address, "snapshot": server.snapshot}
    return Checked(QueriedTable(table, reading.rows, reading.sha.hexdigest(), facts), reading.findings())


class _Reading:
    """The running state of one query: rows, digest, violations, and the last key, as keys ascend."""

    def __init__(self, table: RawTable, keep: Callable[[arrow.Table], None]) -> None:
        self.table, self.keep, self.rows, self.sha = table, keep, 0, hashlib.sha256()
        self._violations: list[Violation] = []
        self._last: arrow.Table | None = None

    def add(self, cells: arrow.Table) -> None:
        from training.data.extracts.validation import check_table  # imports pandera

        checked = check_table(cells, self.table, None, whole=False)
        self._violations += [*checked.violations, *self._duplicates(cells)]
        self.rows += cells.num_rows
        if not self._violations:
            self.keep(checked.values)

    def findings(self) -> tuple[str, ...]:
        return tuple(f"{self.table.file}: {each.text()}" for each in merged(self._violations))

    def _duplicates(self, cells: arrow.Table) -> Iterator[Violation]:
        names = [key.name for key in self.table.key_columns]
        keys = cells.select(names)
        keys = arrow.concat_tables([self._last, keys]) if self._last else keys
        self._last = keys[-1:]
        same = [compute.fill_null(compute.equal(each[1:], each[:-1]), fill_value=False) for each in keys.columns]
        twice = keys[names[0]][1:].filter(functools.reduce(compute.and_, same))
        if len(twice):
            where, first = f"column{'s' if len(names) > 1 else ''} {', '.join(names)}", tuple(twice[:5].to_pylist())
            rule = "must be unique in the query's rows"
            yield Violation(where, rule, first, len(twice), "another row with it", names[0])


def _types(connection: psycopg.Connection, table: RawTable, text: str) -> dict[str, str]:
    """The query's columns with their types' names. Raises SourceError unless they are the table's."""
    cursor = connection.execute(sql.SQL("SELECT * FROM ({}\n) AS rows LIMIT 0").format(sql.SQL(text)))
    described = [(each.name, each.type_code) for each in cursor.description or ()]
    names, expected = [name for name, _ in described], [column.name for column in table.columns]
    faults = [f"it has no column {name!r}" for name in expected if name not in names]
    faults += [f"its column {name!r} is not in the schema" for name in dict.fromkeys(names) if name not in expected]
    faults += [f"it has column {name!r} more than once" for name in expected if names.count(name) > 1]
    if faults:
        raise SourceError(f"{table.name}: the query is not the schema's: {'; '.join(faults)}. Correct one of the two.")
    known = connection.adapters.types
    return {name: info.name if (info := known.get(oid)) else "" for name, oid in described}


def _is_exact(kind: Kind, type_: str) -> bool:
    return type_ in EXACT.get(kind, ())


def _arrow_types(table: RawTable, types: Mapping[str, str]) -> dict[str, arrow.DataType]:
    exact = {each.name: ARROW_TYPES[each.kind] for each in table.columns if _is_exact(each.kind, types[each.name])}
    return {each.name: exact.get(each.name, arrow.string()) for each in table.columns}


def _select(table: RawTable, text: str, types: Mapping[str, str]) -> sql.Composed:
    columns = {
        each.name: sql.SQL("{}::{}").format(
            sql.Identifier(each.name),
            sql.SQL(SQL_TYPES[each.kind] if _is_exact(each.kind, types[each.name]) else "text"),
        )
        for each in table.columns
    }
    by_code_points = {key.name for key in table.key_columns if not _is_exact(key.kind, types[key.name])}
    order = (
        columns[key.name] + sql.SQL(' COLLATE "C"' if key.name in by_code_points else "") for key in table.key_columns
    )
    return sql.SQL("SELECT {columns} FROM ({text}\n) AS rows ORDER BY {keys}").format(
        columns=sql.SQL(", ").join(columns.values()), text=sql.SQL(text), keys=sql.SQL(", ").join(order)
    )


@contextmanager
def _explained(server: Server, table: RawTable, source: PostgresQuery) -> Iterator[None]:
    """Raises SourceError for what PostgreSQL raises."""
    begun = perf_counter()
    try:
        yield
    except psycopg.Error as error:
        reason = (error.diag.message_primary or str(error).strip().splitlines()[0]).rstrip(".")
        if error.sqlstate == CANCELLED:
            fault = (
                f"was cancelled after {perf_counter() - begun:.0f} s (its timeout is {source.timeout:g} s): make it "
                "faster, or raise PostgresQuery(timeout=...)"
            )
        elif server.connection.broken:
            fault = f"lost its server {server.name!r} ({server.address}): {reason}; try again"
        else:
            fault = f"fails on server {server.name!r} ({server.address}): {reason}; correct it"
        raise SourceError(f"{table.name}: the query {fault}. Nothing was loaded.") from None
    except TrainingSetError as error:  # a date such as infinity
        fault = str(error).partition(": ")[2]
        raise SourceError(f"{table.name}: the query gives a value that no table can hold: {fault}") from None
