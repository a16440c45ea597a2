"""Rows of a staging table into a feature view's table: newer ones replace older ones, and never the other way round.

For whoever COPYs rows in himself: `begin_chunk`, COPY binary by `copy_statement`, `upsert_staged`, all in one
transaction:

    with connection.transaction():
        begin_chunk(connection, layout)                     # raises LayoutMoved: read the layout again
        with connection.cursor().copy(copy_statement(layout)) as copy: ...
        changed = upsert_staged(connection, layout)

Newer is a greater event_ts, or the same with a created_ts that is not smaller (one that is not known is not smaller).
A row that would stay as it is, is not touched; 0.0 and -0.0 are the same to that question, as to PostgreSQL. Keys are
taken in their order, so that two writers never wait for each other. A chunk holds a key once, and rows of one kind:
whole ones (all features of the layout), or partial ones, whose `apart` names the features that are not given (see
`merge.py`).
"""

from typing import Any

from psycopg import Connection
from psycopg.errors import UndefinedTable

from online_store.errors import LayoutMoved
from online_store.schema.layout import APART, CREATED_TS, EVENT_TS, LAYOUT, Layout
from online_store.schema.names import quoted
from online_store.writing.merge import merge_statement

STAGED = "pg_temp.wide_staged"


def staged_columns(layout: Layout, *, partial: bool = False) -> list[str]:
    """In the order of COPY: keys, features, event_ts, created_ts, and apart for partial rows."""
    names = [each.column for each in (*layout.keys, *layout.features)]
    return [*names, EVENT_TS, CREATED_TS, *([APART] if partial else [])]


def begin_chunk(connection: Connection[Any], layout: Layout, *, partial: bool = False, alone: bool = False) -> None:
    """Holds the table as `hold_table` does, and makes an empty staging table that ends with the transaction."""
    hold_table(connection, layout, alone=alone)
    columns = _listed(staged_columns(layout, partial=partial))
    connection.execute(
        f"CREATE TEMP TABLE {STAGED.removeprefix('pg_temp.')} ON COMMIT DROP AS"
        f" SELECT {columns} FROM {layout.place} WITH NO DATA".encode()
    )


def hold_table(connection: Connection[Any], layout: Layout, *, alone: bool = False) -> None:
    """Holds the table as it is until the transaction ends.

    With `alone` no one else writes until then. Raises LayoutMoved where the table is not as the layout says.
    """
    mode = "SHARE ROW EXCLUSIVE" if alone else "ROW EXCLUSIVE"
    try:
        connection.execute(f"LOCK TABLE {layout.place} IN {mode} MODE".encode())
    except UndefinedTable as error:
        raise _moved(layout) from error
    # Whoever changes a table needs it alone, so what the catalogue says now holds until we commit.
    row = connection.execute(f"SELECT {layout.version_now}".encode()).fetchone()
    if row is None or row[0] != layout.version:
        raise _moved(layout)


def copy_statement(layout: Layout, *, partial: bool = False) -> bytes:
    """COPY in binary form into the staging table."""
    return f"COPY {STAGED} ({_listed(staged_columns(layout, partial=partial))}) FROM STDIN (FORMAT binary)".encode()


def upsert_staged(connection: Connection[Any], layout: Layout, *, partial: bool = False) -> int:
    """Brings the staged rows into the table; gives how many rows were new or changed."""
    if partial:
        return connection.execute(merge_statement(layout, STAGED).encode()).rowcount
    changed = connection.execute(upsert_statement(layout).encode()).rowcount
    if layout.grown or _any_apart(connection, layout):
        changed += connection.execute(merge_statement(layout, STAGED, onto_apart=True).encode()).rowcount
    return changed


def upsert_statement(layout: Layout) -> str:
    """The one statement for whole rows.

    A row's event_ts is the greatest of all its features' moments, so a whole row that is not older replaces every
    feature of it. What is older may still be newer than features that stand apart, or be all there is of features that
    came after the row: that is the merging statement's.
    """
    keys = [quoted(each.column) for each in layout.keys]
    values = [*(quoted(each.column) for each in layout.features), EVENT_TS, CREATED_TS]
    columns = ", ".join([*keys, *values])
    theirs, ours = (", ".join(f"{side}.{each}" for each in values) for side in ("held", "excluded"))
    return (
        f"INSERT INTO {layout.place} AS held ({columns}, {LAYOUT}) SELECT {columns}, {layout.version} FROM {STAGED}"
        f" ORDER BY {', '.join(keys)} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET"
        f" ({', '.join(values)}, {LAYOUT}, {APART}) = ROW ({ours}, excluded.{LAYOUT}, NULL)"
        f" WHERE (excluded.{EVENT_TS} > held.{EVENT_TS} OR excluded.{EVENT_TS} = held.{EVENT_TS}"
        f" AND (excluded.{CREATED_TS} >= held.{CREATED_TS}) IS NOT FALSE)"
        f" AND (held.{LAYOUT} < {layout.newest} OR held.{APART} IS NOT NULL OR ({theirs}) IS DISTINCT FROM ({ours}))"
    )


def _any_apart(connection: Connection[Any], layout: Layout) -> bool:
    """By the index of such rows, which mostly is empty; the planner would rather read the table."""
    connection.execute(b"SET LOCAL enable_seqscan = off")
    query = f"SELECT EXISTS (SELECT FROM {layout.place} WHERE {APART} IS NOT NULL)"
    row = connection.execute(query.encode()).fetchone()
    return bool(row and row[0])


def _listed(columns: list[str]) -> str:
    return ", ".join(quoted(each) for each in columns)


def _moved(layout: Layout) -> LayoutMoved:
    return LayoutMoved(f"The table of {layout.view} is not at layout {layout.version} any more: read the layout again.")
