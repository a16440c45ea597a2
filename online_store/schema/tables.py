"""Creates, changes and drops the tables of feature views and their rows in the catalogue.

Each view is changed in a transaction of its own under one advisory lock: concurrent `feast apply` calls wait for each
other, and no transaction locks two tables, so none can deadlock with a reader of several.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection
from psycopg import errors as pg

from online_store.errors import NoLayout, TooManyColumns
from online_store.schema.layout import (
    CREATED_TS,
    EVENT_TS,
    LAYOUT,
    OWN_MOMENTS,
    RESERVED,
    Column,
    Layout,
    catalogue,
    read_layout,
)
from online_store.schema.names import fit_name, literal, quoted, table_name

MAX_COLUMNS = 1600
"""PostgreSQL's limit for a table, dropped columns included."""
DROPPABLE = """
SELECT EXISTS (
    SELECT FROM pg_namespace AS space
    WHERE nspname = {schema} AND nspname <> 'public' AND nspacl IS NULL AND pg_has_role(nspowner, 'USAGE')
    AND NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = space.oid)
    AND NOT EXISTS (SELECT FROM pg_type WHERE typnamespace = space.oid)
    AND NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = space.oid)
    AND NOT EXISTS (SELECT FROM pg_default_acl WHERE defaclnamespace = space.oid)
)"""


@dataclass(frozen=True)
class ViewSchema:
    """The join keys and features of a view, each with its Feast type."""

    project: str
    view: str
    keys: Mapping[str, str]
    features: Mapping[str, str]


def create_catalogue(connection: Connection[Any], schema: str) -> None:
    """Creates schema and catalogue unless they exist."""
    with connection.transaction():
        _lock_schema(connection, schema)
        if not _one(connection, f"SELECT to_regnamespace({literal(quoted(schema))}) IS NOT NULL"):
            # CREATE SCHEMA IF NOT EXISTS needs the privilege to create schemas even where it exists.
            connection.execute(f"CREATE SCHEMA {quoted(schema)}".encode())
        connection.execute(f"CREATE SEQUENCE IF NOT EXISTS {_versions(schema)} AS int".encode())
        columns = "project text, view text, table_name text NOT NULL, layout int NOT NULL, columns jsonb NOT NULL"
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {catalogue(schema)} ({columns}, PRIMARY KEY (project, view))".encode()
        )


def apply_view(connection: Connection[Any], schema: str, wanted: ViewSchema) -> Layout:
    """Creates or changes the table, and returns its layout. Rows are kept unless the join keys change.

    Raises TooManyColumns.
    """
    _check_width(wanted)
    with connection.transaction():
        _lock_schema(connection, schema)
        layout = _find(connection, schema, wanted.project, view=wanted.view)
        if layout is not None:
            same_keys = {each.name: each.feast_type for each in layout.keys} == dict(wanted.keys)
            if same_keys and _one(connection, f"SELECT to_regclass({literal(layout.full_name)}) IS NOT NULL"):
                return _alter(connection, layout, wanted)
            _drop(connection, layout)
        return _create(connection, schema, wanted)


def drop_views(connection: Connection[Any], schema: str, project: str, views: Iterable[str]) -> None:
    """Drops the tables of these views that exist."""
    for view in sorted(views):
        with connection.transaction():
            _lock_schema(connection, schema)
            layout = _find(connection, schema, project, view=view)
            if layout is not None:
                _drop(connection, layout)


def drop_catalogue(connection: Connection[Any], schema: str) -> None:
    """Drops the catalogue where it is empty; then the schema where it is empty, ours, and nobody was granted anything.

    Grants on a schema, which `feast apply` would not restore, are a reason to keep it.
    """
    with connection.transaction():
        _lock_schema(connection, schema)
        if not _one(connection, f"SELECT to_regclass({literal(catalogue(schema))}) IS NOT NULL"):
            return
        if _one(connection, f"SELECT EXISTS (SELECT FROM {catalogue(schema)})"):
            return
        connection.execute(f"DROP TABLE {catalogue(schema)}".encode())
        connection.execute(f"DROP SEQUENCE {_versions(schema)}".encode())
        if _one(connection, DROPPABLE.format(schema=literal(schema))):
            connection.execute(f"DROP SCHEMA {quoted(schema)}".encode())


def rewind(connection: Connection[Any], layout: Layout, moment: datetime) -> int:
    """Lets the next write replace the rows: deletes those after the moment, and clears the created_ts of the others.

    Returns how many were deleted.
    """
    until = f"{literal(moment.astimezone(UTC).isoformat())}::timestamptz"
    with connection.transaction():
        # Writers take rows in another order: they wait here, to avoid a deadlock. Readers continue.
        connection.execute(f"LOCK TABLE {layout.full_name} IN SHARE ROW EXCLUSIVE MODE".encode())
        deleted = connection.execute(f"DELETE FROM {layout.full_name} WHERE {EVENT_TS} > {until}".encode()).rowcount
        connection.execute(f"UPDATE {layout.full_name} SET {CREATED_TS} = NULL WHERE {CREATED_TS} IS NOT NULL".encode())
    return deleted


def list_views(connection: Connection[Any], schema: str, project: str) -> list[str]:
    """The views of the project that have a table."""
    query = f"SELECT view FROM {catalogue(schema)} WHERE project = {literal(project)}"
    try:
        with connection.transaction():
            return [view for (view,) in connection.execute(query.encode())]
    except (pg.UndefinedTable, pg.InvalidSchemaName):
        return []


def _lock_schema(connection: Connection[Any], schema: str) -> None:
    key = literal(f"wide_layouts {schema}")
    connection.execute(f"SELECT pg_advisory_xact_lock(hashtextextended({key}, 0))".encode())


def _find(connection: Connection[Any], schema: str, project: str, *, view: str) -> Layout | None:
    try:
        with connection.transaction():  # a missing catalogue must not abort the outer transaction
            return read_layout(connection, project, view, schema=schema)
    except NoLayout:
        return None


def _one(connection: Connection[Any], query: str) -> Any:
    """The one value of a query that returns one row."""
    row = connection.execute(query.encode()).fetchone()
    assert row is not None  # noqa: S101
    return row[0]


def _check_width(wanted: ViewSchema) -> None:
    width = len(wanted.keys) + len(wanted.features) + len(RESERVED)
    if width > MAX_COLUMNS:
        raise TooManyColumns(
            f"Feature view {wanted.view} needs {width} columns, and a PostgreSQL table has at most {MAX_COLUMNS}:"
            " split it."
        )


def _create(connection: Connection[Any], schema: str, wanted: ViewSchema) -> Layout:
    version = _next_version(connection, schema)
    columns = _named([*wanted.keys.items(), *wanted.features.items()], taken=set(RESERVED), since=version)
    keys, features = columns[: len(wanted.keys)], columns[len(wanted.keys) :]
    name = table_name(wanted.project, wanted.view)
    layout = Layout(schema, wanted.project, wanted.view, table=name, version=version, keys=keys, features=features)
    key = ", ".join(quoted(each.column) for each in keys)
    parts = [f"{quoted(each.column)} {each.pg_type} NOT NULL" for each in keys]
    parts += [f"{quoted(each.column)} {each.pg_type}" for each in features]
    parts += [
        f"{EVENT_TS} timestamptz NOT NULL",
        f"{CREATED_TS} timestamptz",
        f"{LAYOUT} int NOT NULL",
        f"{OWN_MOMENTS} jsonb",
    ]
    connection.execute(f"CREATE TABLE {layout.full_name} ({', '.join(parts)}, PRIMARY KEY ({key}))".encode())
    # Rows of which only some features were written. Mostly empty; each upsert asks whether there are any.
    connection.execute(f"CREATE INDEX ON {layout.full_name} ((1)) WHERE {OWN_MOMENTS} IS NOT NULL".encode())
    _save(connection, layout)
    return layout


def _alter(connection: Connection[Any], layout: Layout, wanted: ViewSchema) -> Layout:
    kept = [each for each in layout.features if wanted.features.get(each.name) == each.feast_type]
    gone = [each for each in layout.features if each not in kept]
    new = [item for item in wanted.features.items() if item[0] not in {each.name for each in kept}]
    if not gone and not new:
        return layout
    version = _next_version(connection, layout.schema)
    taken = {*RESERVED, *(each.column for each in (*layout.keys, *kept))}
    added = _named(new, taken=taken, since=version)
    changes = [f"DROP COLUMN IF EXISTS {quoted(each.column)}" for each in gone]
    changes += [f"ADD COLUMN {quoted(each.column)} {each.pg_type}" for each in added]
    try:
        connection.execute(f"ALTER TABLE {layout.full_name} {', '.join(changes)}".encode())
    except pg.TooManyColumns as error:
        raise TooManyColumns(
            f"The table of view {layout.view} has used up {MAX_COLUMNS} columns, dropped ones included: remove it,"
            " apply, and add it again."
        ) from error
    _forget_moments(connection, layout, gone)
    changed = replace(layout, version=version, features=(*kept, *added))
    _save(connection, changed)
    return changed


def _forget_moments(connection: Connection[Any], layout: Layout, gone: list[Column]) -> None:
    """Own timestamps of dropped features must not apply to later features of the same names."""
    if gone:
        left = f"{OWN_MOMENTS} - ARRAY[{', '.join(literal(each.name) for each in gone)}]"
        change = f"UPDATE {layout.full_name} SET {OWN_MOMENTS} = NULLIF({left}, '{{}}') WHERE {OWN_MOMENTS} IS NOT NULL"
        connection.execute(change.encode())


def _drop(connection: Connection[Any], layout: Layout) -> None:
    connection.execute(f"DROP TABLE IF EXISTS {layout.full_name}".encode())
    where = f"project = {literal(layout.project)} AND view = {literal(layout.view)}"
    connection.execute(f"DELETE FROM {catalogue(layout.schema)} WHERE {where}".encode())


def _save(connection: Connection[Any], layout: Layout) -> None:
    columns = {"keys": [asdict(each) for each in layout.keys], "features": [asdict(each) for each in layout.features]}
    values = ", ".join(literal(each) for each in (layout.project, layout.view, layout.table))
    text = literal(json.dumps(columns))
    connection.execute(
        f"INSERT INTO {catalogue(layout.schema)} VALUES ({values}, {layout.version}, {text}::jsonb)"
        " ON CONFLICT (project, view) DO UPDATE SET"
        " table_name = excluded.table_name, layout = excluded.layout, columns = excluded.columns".encode()
    )


def _named(items: list[tuple[str, str]], *, taken: set[str], since: int) -> tuple[Column, ...]:
    columns = []
    for name, feast_type in items:
        column = fit_name(name, taken)
        taken = {*taken, column}
        columns.append(Column(name, column, feast_type, since))
    return tuple(columns)


def _next_version(connection: Connection[Any], schema: str) -> int:
    return int(_one(connection, f"SELECT nextval({literal(_versions(schema))})::int"))


def _versions(schema: str) -> str:
    return f"{quoted(schema)}.wide_layouts_versions"
