"""A table of the serving database with both times, used in place: a view of it in schema `public`, as the raw table.

Nothing is copied: feature views, training sets and parity read the view as they read a table of ours.
"""

from collections.abc import Mapping

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from asof.errors import ConfigurationError
from asof.extracts.sources import InPlace
from training.data.snapshots.owned_tables import explain_missing_privilege, table_exists, views

WHOLE = frozenset({"smallint", "integer", "bigint"})
LOSSLESS = {
    "text": frozenset({"text", "character varying", "character", "uuid", "name"}),
    "bigint": WHOLE,
    "double precision": WHOLE | {"real", "double precision", "numeric"},
    "boolean": frozenset({"boolean"}),
    "date": frozenset({"date"}),
}
"""For each type of ours, those that it holds without a loss."""
WITH_ZONE = "timestamp with time zone"
TIME_TYPES = frozenset({WITH_ZONE, "timestamp without time zone", "date"})
COLUMNS = """
SELECT attname, format_type(atttypid, NULL), attrelid::regclass::text FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"""
SAME = "SELECT pg_get_viewdef('pg_temp.asof_in_place'::regclass) = pg_get_viewdef(to_regclass(%s))"


def use_in_place(
    connection: psycopg.Connection[TupleRow], name: str, source: InPlace, types: Mapping[str, str]
) -> None:
    """Creates or replaces the view `public.NAME`; an unchanged one is left alone.

    `types` are the PostgreSQL types of the raw table's columns, the key first. Raises ConfigurationError where the
    source is missing, lacks a column, has one of another type, or where a table has the name of the view.
    """
    exists, view = table_exists(connection, f"public.{name}"), sql.Identifier("public", name)
    if exists and name not in views(connection):
        raise ConfigurationError(
            f"Raw table {name} is used in place, and public.{name} is a table: rename the raw table."
        )
    select = _select(connection, name, source, types)
    connection.execute(sql.SQL("CREATE OR REPLACE TEMP VIEW asof_in_place AS {}").format(select))
    if not exists or connection.execute(SAME, (f"public.{name}",)).fetchone() != (True,):
        with explain_missing_privilege(connection, f"View public.{name}"):
            connection.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(view))
            connection.execute(sql.SQL("CREATE VIEW {} AS {}").format(view, select))
    connection.execute("DROP VIEW pg_temp.asof_in_place")


def _select(
    connection: psycopg.Connection[TupleRow], name: str, source: InPlace, types: Mapping[str, str]
) -> sql.Composed:
    rows = connection.execute(COLUMNS, (source.table,)).fetchall()
    if not rows:
        raise ConfigurationError(
            f"Raw table {name}: database {connection.info.dbname} has no table {source.table}. Create it, or correct "
            "InPlace(table=...)."
        )
    actual = {column: type_ for column, type_, _ in rows}
    expected = {column: LOSSLESS[type_] for column, type_ in types.items()}
    _require(name, source, actual, expected | dict.fromkeys((source.as_of, source.known_at), TIME_TYPES))
    key, *others = types
    times = (_time(source.as_of, actual, "as_of"), _time(source.known_at, actual, "created_at"))
    return sql.SQL("SELECT {} FROM {} WHERE {} IS NOT NULL").format(
        sql.SQL(", ").join([_cast(key, types), *times, *(_cast(column, types) for column in others)]),
        sql.SQL(rows[0][2]),  # as PostgreSQL quotes it
        sql.Identifier(source.as_of),
    )


def _require(name: str, source: InPlace, actual: Mapping[str, str], expected: Mapping[str, frozenset[str]]) -> None:
    faults = [
        f"{column} is {actual.get(column, 'missing')}, not {' or '.join(sorted(allowed))}"
        for column, allowed in expected.items()
        if actual.get(column) not in allowed
    ]
    if faults:
        raise ConfigurationError(
            f"Raw table {name}: column {'; column '.join(faults)}. Correct its columns, or give InPlace a view of "
            f"{source.table} that casts them."
        )


def _cast(column: str, types: Mapping[str, str]) -> sql.Composed:
    return sql.SQL("{0}::{1} AS {0}").format(sql.Identifier(column), sql.SQL(types[column]))


def _time(column: str, actual: Mapping[str, str], name: str) -> sql.Composed:
    zone = "" if actual[column] == WITH_ZONE else "::timestamp AT TIME ZONE 'UTC'"
    return sql.SQL("{}{} AS {}").format(sql.Identifier(column), sql.SQL(zone), sql.Identifier(name))
