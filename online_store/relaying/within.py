"""Few rows from a query into a table of the same database: they never leave the server. A chunk is one transaction.

The rows are staged before anything is locked, and while they are, nothing else can be written: the query is the
source's, which is only read.
"""

from typing import Any

from psycopg import Connection, Rollback

from online_store.pool import PLANNING
from online_store.relaying.transfer import Transfer
from online_store.schema.layout import CREATED_TS, EVENT_TS, Layout
from online_store.schema.names import literal, quoted
from online_store.writing.upsert import STAGED, hold_table, upsert_staged

SETTINGS = {**PLANNING, "enable_nestloop": "on"}
"""Of the online store's statements, whatever the source's connection is told."""


def is_few(source: Connection[Any], transfer: Transfer, rows: int) -> bool:
    """Whether the planner expects no more than so many rows: never more than it reads, nor more than there are keys."""
    return _most_rows(_plan(source, transfer.query)) <= rows or _plan(source, transfer.entities)["Plan Rows"] <= rows


def bring_within(connection: Connection[Any], transfer: Transfer, layout: Layout, *, rows: int) -> int | None:
    """Brings the rows into the layout's table, and gives how many there were; None, with nothing done, where there are
    more than `rows`.

    The query is as for `relay`. Raises LayoutMoved, and psycopg.Error, with nothing of the chunk in place.
    """
    with connection.transaction() as chunk:
        connection.execute(b"SET TRANSACTION READ WRITE")
        staged = _stage(connection, transfer.query, layout, rows)
        if staged > rows:
            raise Rollback(chunk)
        for name, value in SETTINGS.items():
            connection.execute(f"SET LOCAL {name} = {literal(value)}".encode())
        hold_table(connection, layout)
        upsert_staged(connection, layout)
        return staged
    return None


def _stage(connection: Connection[Any], query: str, layout: Layout, rows: int) -> int:
    columns = [f"{quoted(each.column)} {each.pg_type}" for each in (*layout.keys, *layout.features)]
    columns += [f"{EVENT_TS} timestamptz", f"{CREATED_TS} timestamptz"]
    # Not like the table: to look at it would hold it.
    connection.execute(
        f"CREATE TEMP TABLE {STAGED.removeprefix('pg_temp.')} ({', '.join(columns)}) ON COMMIT DROP".encode()
    )
    with connection.transaction():  # what it is told ends with it
        connection.execute(b"SET TRANSACTION READ ONLY")
        return connection.execute(f"INSERT INTO {STAGED} {query} LIMIT {rows + 1}".encode()).rowcount


def _plan(source: Connection[Any], query: str) -> Any:
    row = source.execute(f"EXPLAIN (FORMAT JSON) {query}".encode()).fetchone()
    assert row is not None  # noqa: S101 - a query has a plan
    return row[0][0]["Plan"]


def _most_rows(plan: Any) -> float:
    return max([float(plan["Plan Rows"]), *map(_most_rows, plan.get("Plans", ()))])
