"""Transfers few rows within one database, as one chunk, without sending them to the client.

The rows are staged before anything is locked, in a read-only transaction, because the query is the source's.
"""

from typing import Any

from psycopg import Connection, Rollback

from online_store.relaying.transfer import Transfer
from online_store.schema.layout import CREATED_TS, EVENT_TS, Layout
from online_store.schema.names import literal, quoted
from online_store.session import PLANNING
from online_store.writing.upsert import STAGED, lock_table, upsert_staged

SETTINGS = {**PLANNING, "enable_nestloop": "on"}
"""For the online store's statements, whatever the settings of the source's connection."""


def is_few(source: Connection[Any], transfer: Transfer, rows: int) -> bool:
    """Whether the planner expects at most `rows` rows, by those that it reads or by the number of entities."""
    return _most_rows(_plan(source, transfer.query)) <= rows or _plan(source, transfer.entities)["Plan Rows"] <= rows


def transfer_within(connection: Connection[Any], transfer: Transfer, layout: Layout, *, rows: int) -> int | None:
    """Upserts the rows into the layout's table and returns their number; None, with nothing done, if more than `rows`.

    The query is as for `relay`. Raises LayoutChanged and psycopg.Error, with nothing done.
    """
    with connection.transaction() as chunk:
        connection.execute(b"SET TRANSACTION READ WRITE")
        staged = _stage(connection, transfer.query, layout, rows)
        if staged > rows:
            raise Rollback(chunk)
        for name, value in SETTINGS.items():
            connection.execute(f"SET LOCAL {name} = {literal(value)}".encode())
        lock_table(connection, layout)
        upsert_staged(connection, layout)
        return staged
    return None


def _stage(connection: Connection[Any], query: str, layout: Layout, rows: int) -> int:
    columns = [f"{quoted(each.column)} {each.pg_type}" for each in (*layout.keys, *layout.features)]
    columns += [f"{EVENT_TS} timestamptz", f"{CREATED_TS} timestamptz"]
    # Not LIKE the table, which would lock it.
    connection.execute(
        f"CREATE TEMP TABLE {STAGED.removeprefix('pg_temp.')} ({', '.join(columns)}) ON COMMIT DROP".encode()
    )
    with connection.transaction():  # the setting ends with it
        connection.execute(b"SET TRANSACTION READ ONLY")
        return connection.execute(f"INSERT INTO {STAGED} {query} LIMIT {rows + 1}".encode()).rowcount


def _plan(source: Connection[Any], query: str) -> Any:
    row = source.execute(f"EXPLAIN (FORMAT JSON) {query}".encode()).fetchone()
    assert row is not None  # noqa: S101 - a query has a plan
    return row[0][0]["Plan"]


def _most_rows(plan: Any) -> float:
    return max([float(plan["Plan Rows"]), *map(_most_rows, plan.get("Plans", ()))])
