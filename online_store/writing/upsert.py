"""Upserts a chunk of rows from a staging table: newer rows replace older ones, never the other way round.

All in one transaction:

    with connection.transaction():
        begin_chunk(connection, layout)                     # raises LayoutChanged: read the layout again
        with connection.cursor().copy(copy_statement(layout)) as copy: ...
        changed = upsert_staged(connection, layout)

A row is newer if its event_ts is later, or equal and its created_ts not earlier (an unknown one is not earlier). A row
that would not change is not updated; 0.0 and -0.0 are equal, as in PostgreSQL. Rows are taken in key order, so that
writers do not deadlock. A chunk has each key once, and its rows are either all complete (all features of the layout) or
all partial, with the features that they lack in `apart` (see `merge.py`).
"""

from typing import Any

from psycopg import Connection
from psycopg.errors import UndefinedTable

from online_store.errors import LayoutChanged
from online_store.schema.layout import CREATED_TS, EVENT_TS, LAYOUT, OWN_MOMENTS, Layout
from online_store.schema.names import quoted
from online_store.writing.merge import merge_statement

STAGED = "pg_temp.wide_staged"


def staged_columns(layout: Layout, *, partial: bool = False) -> list[str]:
    """In the order of the COPY: keys, features, event_ts, created_ts, and for partial rows apart."""
    names = [each.column for each in (*layout.keys, *layout.features)]
    return [*names, EVENT_TS, CREATED_TS, *([OWN_MOMENTS] if partial else [])]


def begin_chunk(connection: Connection[Any], layout: Layout, *, partial: bool = False, exclusive: bool = False) -> None:
    """Locks the table as `lock_table` does, and creates an empty staging table for this transaction."""
    lock_table(connection, layout, exclusive=exclusive)
    columns = _listed(staged_columns(layout, partial=partial))
    connection.execute(
        f"CREATE TEMP TABLE {STAGED.removeprefix('pg_temp.')} ON COMMIT DROP AS"
        f" SELECT {columns} FROM {layout.full_name} WITH NO DATA".encode()
    )


def lock_table(connection: Connection[Any], layout: Layout, *, exclusive: bool = False) -> None:
    """Prevents changes of the table until the transaction ends; with `exclusive`, other writes too.

    Raises LayoutChanged where the table does not have this layout.
    """
    mode = "SHARE ROW EXCLUSIVE" if exclusive else "ROW EXCLUSIVE"
    try:
        connection.execute(f"LOCK TABLE {layout.full_name} IN {mode} MODE".encode())
    except UndefinedTable as error:
        raise _moved(layout) from error
    # Changing a table needs an exclusive lock, so the version in the catalogue stays until we commit.
    row = connection.execute(f"SELECT {layout.version_now}".encode()).fetchone()
    if row is None or row[0] != layout.version:
        raise _moved(layout)


def copy_statement(layout: Layout, *, partial: bool = False) -> bytes:
    """A binary COPY into the staging table."""
    return f"COPY {STAGED} ({_listed(staged_columns(layout, partial=partial))}) FROM STDIN (FORMAT binary)".encode()


def upsert_staged(connection: Connection[Any], layout: Layout, *, partial: bool = False) -> int:
    """Returns how many rows were inserted or updated."""
    if partial:
        return connection.execute(merge_statement(layout, STAGED).encode()).rowcount
    changed = connection.execute(upsert_statement(layout).encode()).rowcount
    if layout.grown or _any_exceptional(connection, layout):
        changed += connection.execute(merge_statement(layout, STAGED, only_exceptional=True).encode()).rowcount
    return changed


def upsert_statement(layout: Layout) -> str:
    """For complete rows.

    A row's event_ts is the latest of its features' timestamps, so a complete row that is not older replaces all of
    them. An older one may still be newer than features with own timestamps, or have features that the row lacks: these
    are left to `merge_statement`.
    """
    keys = [quoted(each.column) for each in layout.keys]
    values = [*(quoted(each.column) for each in layout.features), EVENT_TS, CREATED_TS]
    columns = ", ".join([*keys, *values])
    theirs, ours = (", ".join(f"{side}.{each}" for each in values) for side in ("held", "excluded"))
    return (
        f"INSERT INTO {layout.full_name} AS held ({columns}, {LAYOUT}) SELECT {columns}, {layout.version} FROM {STAGED}"
        f" ORDER BY {', '.join(keys)} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET"
        f" ({', '.join(values)}, {LAYOUT}, {OWN_MOMENTS}) = ROW ({ours}, excluded.{LAYOUT}, NULL)"
        f" WHERE (excluded.{EVENT_TS} > held.{EVENT_TS} OR excluded.{EVENT_TS} = held.{EVENT_TS}"
        f" AND (excluded.{CREATED_TS} >= held.{CREATED_TS}) IS NOT FALSE)"
        f" AND (held.{LAYOUT} < {layout.newest} OR held.{OWN_MOMENTS} IS NOT NULL"
        f" OR ({theirs}) IS DISTINCT FROM ({ours}))"
    )


def _any_exceptional(connection: Connection[Any], layout: Layout) -> bool:
    """Uses the partial index, which is mostly empty; the planner would prefer a sequential scan."""
    connection.execute(b"SET LOCAL enable_seqscan = off")
    query = f"SELECT EXISTS (SELECT FROM {layout.full_name} WHERE {OWN_MOMENTS} IS NOT NULL)"
    row = connection.execute(query.encode()).fetchone()
    return bool(row and row[0])


def _listed(columns: list[str]) -> str:
    return ", ".join(quoted(each) for each in columns)


def _moved(layout: Layout) -> LayoutChanged:
    return LayoutChanged(
        f"The table of view {layout.view} no longer has layout {layout.version}: read the layout again."
    )
