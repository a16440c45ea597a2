"""Tables made, changed and dropped: what a feature view wants in, a table and its row in the catalogue out.

Every view's change is one transaction of its own under one advisory lock: two `feast apply` at once take turns, and no
transaction ever holds two tables, so that none can be in the way of a reader of several.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection
from psycopg import errors as pg

from online_store.errors import NoLayout, TooManyColumns
from online_store.schema.layout import APART, CREATED_TS, EVENT_TS, LAYOUT, OWN, Column, Layout, catalogue, read_layout
from online_store.schema.names import fitting, literal, quoted, table_name

MOST_COLUMNS = 1600
"""PostgreSQL's limit, to which dropped columns count as well."""


@dataclass(frozen=True)
class WantedView:
    """What a feature view asks for: its join keys and its features, each with its Feast type."""

    project: str
    view: str
    keys: Mapping[str, str]
    features: Mapping[str, str]


def make_catalogue(connection: Connection[Any], schema: str) -> None:
    """Schema and catalogue, where they are not there yet."""
    with connection.transaction():
        _take_turn(connection, schema)
        (there,) = connection.execute(f"SELECT to_regnamespace({literal(quoted(schema))})".encode()).fetchone() or (
            None,
        )
        if there is None:  # IF NOT EXISTS alone asks for the right to create schemas
            connection.execute(f"CREATE SCHEMA {quoted(schema)}".encode())
        place = catalogue(schema)
        connection.execute(f"CREATE SEQUENCE IF NOT EXISTS {_versions(schema)} AS int".encode())
        columns = "project text, view text, table_name text NOT NULL, layout int NOT NULL, columns jsonb NOT NULL"
        connection.execute(f"CREATE TABLE IF NOT EXISTS {place} ({columns}, PRIMARY KEY (project, view))".encode())


def settle_view(connection: Connection[Any], schema: str, wanted: WantedView) -> Layout:
    """Makes the table as wanted, and gives its layout. Rows stay, but where the join keys are others: those start anew.

    Raises TooManyColumns.
    """
    _check_width(wanted)
    with connection.transaction():
        _take_turn(connection, schema)
        found = _find(connection, schema, (wanted.project, wanted.view))
        if found is not None and _keyed_alike(found, wanted) and _exists(connection, found):
            return _alter(connection, found, wanted)
        if found is not None:
            _drop(connection, found)
        return _create(connection, schema, wanted)


def drop_views(connection: Connection[Any], schema: str, project: str, views: Iterable[str]) -> None:
    """Drops the tables of these views, as far as there are any."""
    for view in sorted(views):
        with connection.transaction():
            _take_turn(connection, schema)
            found = _find(connection, schema, (project, view))
            if found is not None:
                _drop(connection, found)


def rewind(connection: Connection[Any], layout: Layout, moment: datetime) -> int:
    """Makes the rows give way to whatever is written next: those from after the moment go, and of the others none
    counts as created later than what comes. Gives how many went.
    """
    told = f"{literal(moment.astimezone(UTC).isoformat())}::timestamptz"
    with connection.transaction():
        # It takes rows in another order than writers do: they wait, so that neither waits for the other. Readers go on.
        connection.execute(f"LOCK TABLE {layout.place} IN SHARE ROW EXCLUSIVE MODE".encode())
        gone = connection.execute(f"DELETE FROM {layout.place} WHERE {EVENT_TS} > {told}".encode()).rowcount
        connection.execute(f"UPDATE {layout.place} SET {CREATED_TS} = NULL WHERE {CREATED_TS} IS NOT NULL".encode())
    return gone


def views_of(connection: Connection[Any], schema: str, project: str) -> list[str]:
    """The project's views that have a table."""
    query = f"SELECT view FROM {catalogue(schema)} WHERE project = {literal(project)}"
    try:
        with connection.transaction():
            return [view for (view,) in connection.execute(query.encode())]
    except (pg.UndefinedTable, pg.InvalidSchemaName):
        return []


def _take_turn(connection: Connection[Any], schema: str) -> None:
    key = literal(f"wide_layouts {schema}")
    connection.execute(f"SELECT pg_advisory_xact_lock(hashtextextended({key}, 0))".encode())


def _find(connection: Connection[Any], schema: str, named: tuple[str, str]) -> Layout | None:
    try:
        with connection.transaction():  # a catalogue that is not there must not end the outer transaction
            return read_layout(connection, *named, schema=schema)
    except NoLayout:
        return None


def _exists(connection: Connection[Any], layout: Layout) -> bool:
    row = connection.execute(f"SELECT to_regclass({literal(layout.place)}) IS NOT NULL".encode()).fetchone()
    return bool(row and row[0])


def _keyed_alike(layout: Layout, wanted: WantedView) -> bool:
    return {each.name: each.feast_type for each in layout.keys} == dict(wanted.keys)


def _check_width(wanted: WantedView) -> None:
    width = len(wanted.keys) + len(wanted.features) + len(OWN)
    if width > MOST_COLUMNS:
        raise TooManyColumns(
            f"Feature view {wanted.view} needs {width} columns, and a table of PostgreSQL has at most {MOST_COLUMNS}:"
            " split it."
        )


def _create(connection: Connection[Any], schema: str, wanted: WantedView) -> Layout:
    version = _next_version(connection, schema)
    columns = _named([*wanted.keys.items(), *wanted.features.items()], taken=set(OWN), since=version)
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
        f"{APART} jsonb",
    ]
    connection.execute(f"CREATE TABLE {layout.place} ({', '.join(parts)}, PRIMARY KEY ({key}))".encode())
    # Empty but for rows of which only some features were written: whether there are any is asked by every upsert.
    connection.execute(f"CREATE INDEX ON {layout.place} ((1)) WHERE {APART} IS NOT NULL".encode())
    _keep(connection, layout)
    return layout


def _alter(connection: Connection[Any], layout: Layout, wanted: WantedView) -> Layout:
    kept = [each for each in layout.features if wanted.features.get(each.name) == each.feast_type]
    gone = [each for each in layout.features if each not in kept]
    new = [item for item in wanted.features.items() if item[0] not in {each.name for each in kept}]
    if not gone and not new:
        return layout
    version = _next_version(connection, layout.schema)
    taken = {*OWN, *(each.column for each in (*layout.keys, *kept))}
    added = _named(new, taken=taken, since=version)
    changes = [f"DROP COLUMN IF EXISTS {quoted(each.column)}" for each in gone]
    changes += [f"ADD COLUMN {quoted(each.column)} {each.pg_type}" for each in added]
    try:
        connection.execute(f"ALTER TABLE {layout.place} {', '.join(changes)}".encode())
    except pg.TooManyColumns as error:
        raise TooManyColumns(
            f"The table of {layout.view} has had {MOST_COLUMNS} columns, dropped ones included: remove the view, apply,"
            " and add it again."
        ) from error
    _forget_apart(connection, layout, gone)
    changed = replace(layout, version=version, features=(*kept, *added))
    _keep(connection, changed)
    return changed


def _forget_apart(connection: Connection[Any], layout: Layout, gone: list[Column]) -> None:
    """What rows say of features that are gone must not speak for features of the same names that come later."""
    if gone:
        left = f"{APART} - ARRAY[{', '.join(literal(each.name) for each in gone)}]"
        change = f"UPDATE {layout.place} SET {APART} = NULLIF({left}, '{{}}') WHERE {APART} IS NOT NULL"
        connection.execute(change.encode())


def _drop(connection: Connection[Any], layout: Layout) -> None:
    connection.execute(f"DROP TABLE IF EXISTS {layout.place}".encode())
    where = f"project = {literal(layout.project)} AND view = {literal(layout.view)}"
    connection.execute(f"DELETE FROM {catalogue(layout.schema)} WHERE {where}".encode())


def _keep(connection: Connection[Any], layout: Layout) -> None:
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
        column = fitting(name, taken)
        taken = {*taken, column}
        columns.append(Column(name, column, feast_type, since))
    return tuple(columns)


def _next_version(connection: Connection[Any], schema: str) -> int:
    row = connection.execute(f"SELECT nextval({literal(_versions(schema))})::int".encode()).fetchone()
    assert row is not None  # noqa: S101 - a sequence always has a next
    return int(row[0])


def _versions(schema: str) -> str:
    return f"{quoted(schema)}.wide_layouts_versions"
