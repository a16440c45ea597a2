"""What a feature view's table looks like: the catalogue's row in, a Layout out.

The catalogue, `wide_layouts`, has one row for each table and lies in the same schema. `layout` is the table's version:
it comes from a sequence, so that no two states of any table ever share one. A row of the table bears the version at
which it was written whole. A feature that came later (`since` is greater) is absent from that row, whatever the column
says; that is how a column is added without touching a row, and how absent is told from null.
"""

from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, Connection
from psycopg.errors import InvalidSchemaName, UndefinedTable

from online_store.errors import NoLayout
from online_store.schema.column_types import is_wrapped, postgres_type
from online_store.schema.names import literal, quoted

CATALOGUE = "wide_layouts"
EVENT_TS, CREATED_TS, LAYOUT, APART = OWN = ("event_ts", "created_ts", "layout", "apart")
"""The columns that are neither keys nor features."""


@dataclass(frozen=True)
class Column:
    """A join key or a feature: its name in Feast, its column, its Feast type, and the layout that brought it."""

    name: str
    column: str
    feast_type: str
    since: int = 0

    @property
    def pg_type(self) -> str:
        """PostgreSQL's name of the type: int8, text[], ..."""
        return postgres_type(self.feast_type)

    @property
    def is_float(self) -> bool:
        """Whether the column may hold NaN."""
        return self.pg_type.startswith("float") and not self.pg_type.endswith("[]")

    @property
    def wrapped(self) -> bool:
        """Whether the column holds the bytes of whole Values."""
        return is_wrapped(self.feast_type)


@dataclass(frozen=True)
class Layout:
    """A table: where it is, its version, its join keys in the primary key's order, and its features."""

    schema: str
    project: str
    view: str
    table: str
    version: int
    keys: tuple[Column, ...]
    features: tuple[Column, ...]

    @property
    def place(self) -> str:
        """The table's full name, quoted for SQL."""
        return f"{quoted(self.schema)}.{quoted(self.table)}"

    @property
    def newest(self) -> int:
        """The layout that brought the newest feature: rows from before lack something."""
        return max((each.since for each in self.features), default=0)

    @property
    def grown(self) -> bool:
        """Whether some feature came after the table: rows may lack it. The keys are as old as the table."""
        return self.newest > max(each.since for each in self.keys)

    @property
    def version_now(self) -> str:
        """A sub-select: the version at the moment of the query. Where it is not ours, this layout is old."""
        return f"(SELECT layout {_catalogue_row(self.schema, self.project, self.view)})"

    def feature(self, name: str) -> Column | None:
        """The feature of that name in Feast, or None where the table has no such column."""
        return next((each for each in self.features if each.name == name), None)


def catalogue(schema: str) -> str:
    """The catalogue's full name, quoted for SQL."""
    return f"{quoted(schema)}.{quoted(CATALOGUE)}"


def read_layout(connection: Connection[Any], project: str, view: str, *, schema: str) -> Layout:
    """The layout as it is now. Raises NoLayout where the view has no table."""
    try:
        row = connection.execute(_query(schema, project, view)).fetchone()
    except (UndefinedTable, InvalidSchemaName):
        row = None
    return _layout(row, (schema, project, view))


async def read_layout_async(connection: AsyncConnection[Any], project: str, view: str, *, schema: str) -> Layout:
    """The same over an asynchronous connection."""
    try:
        row = await (await connection.execute(_query(schema, project, view))).fetchone()
    except (UndefinedTable, InvalidSchemaName):
        row = None
    return _layout(row, (schema, project, view))


def _query(schema: str, project: str, view: str) -> bytes:
    # Constants and no parameters: so it does not matter which kind of placeholder the connection's cursors take.
    return f"SELECT table_name, layout, columns {_catalogue_row(schema, project, view)}".encode()


def _catalogue_row(schema: str, project: str, view: str) -> str:
    return f"FROM {catalogue(schema)} WHERE project = {literal(project)} AND view = {literal(view)}"


def _layout(row: Any, where: tuple[str, str, str]) -> Layout:
    schema, project, view = where
    if row is None:
        raise NoLayout(f"Feature view {view} of project {project} has no table in schema {schema}: run `feast apply`.")
    table, version, columns = row
    keys, features = (tuple(Column(**each) for each in columns[kind]) for kind in ("keys", "features"))
    return Layout(schema, project, view, table=table, version=version, keys=keys, features=features)
