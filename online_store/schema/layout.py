"""The layout of a feature view's table, as its row in the catalogue describes it.

The catalogue, `wide_layouts`, is a table in the same schema with a row for each view. `layout` there is the version of
the view's table, from a sequence, so that no two states of any table share one. A row of the table has the version with
which all its features were written. A feature that was added later (`since` is greater) is absent from that row,
whatever its column holds: so a column is added without an update of the rows, and absent differs from null.
"""

from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, Connection
from psycopg.errors import InvalidSchemaName, UndefinedTable

from online_store.encoding.column_types import KEY_TYPES, is_wrapped, postgres_type
from online_store.errors import NoLayout
from online_store.schema.names import literal, quoted

CATALOGUE = "wide_layouts"
EVENT_TS, CREATED_TS, LAYOUT, OWN_MOMENTS = RESERVED = ("event_ts", "created_ts", "layout", "apart")
"""The columns that are neither keys nor features. OWN_MOMENTS is described in `writing/merge.py`."""

ViewKey = tuple[str, str, str]
"""Schema, project and view."""


@dataclass(frozen=True)
class Column:
    """A join key or feature: its names in Feast and in the table, its Feast type, and the layout that added it."""

    name: str
    column: str
    feast_type: str
    since: int = 0

    @property
    def pg_type(self) -> str:
        """int8, text[], ..."""
        return postgres_type(self.feast_type)

    @property
    def declared(self) -> str:
        """The type in Feast."""
        return next((name for name, kind in KEY_TYPES.items() if kind == self.feast_type), self.feast_type)

    @property
    def is_float(self) -> bool:
        """Whether the column can hold NaN."""
        return self.pg_type.startswith("float") and not self.pg_type.endswith("[]")

    @property
    def wrapped(self) -> bool:
        """Whether the column holds serialized Values."""
        return is_wrapped(self.feast_type)


@dataclass(frozen=True)
class Layout:
    """A table: its name, its version, its join keys in the order of the primary key, and its features."""

    schema: str
    project: str
    view: str
    table: str
    version: int
    keys: tuple[Column, ...]
    features: tuple[Column, ...]

    @property
    def full_name(self) -> str:
        """Quoted for SQL."""
        return f"{quoted(self.schema)}.{quoted(self.table)}"

    @property
    def newest(self) -> int:
        """The layout that added the newest feature: a row of an older one lacks something."""
        return max((each.since for each in self.features), default=0)

    @property
    def grown(self) -> bool:
        """Whether a feature is newer than the table, so that rows may lack it. The keys are as old as the table."""
        return self.newest > max(each.since for each in self.keys)

    @property
    def version_now(self) -> str:
        """A scalar subquery: the version at the time of the query. If it is another one, this layout is outdated."""
        return f"(SELECT layout {_catalogue_row(self.schema, self.project, self.view)})"

    def feature(self, name: str) -> Column | None:
        """The feature with that name in Feast, or None."""
        return next((each for each in self.features if each.name == name), None)


def catalogue(schema: str) -> str:
    """The full name of the catalogue, quoted for SQL."""
    return f"{quoted(schema)}.{quoted(CATALOGUE)}"


def read_layout(connection: Connection[Any], project: str, view: str, *, schema: str) -> Layout:
    """The current layout. Raises NoLayout where the view has no table."""
    try:
        row = connection.execute(_query(schema, project, view)).fetchone()
    except (UndefinedTable, InvalidSchemaName):
        row = None
    return _layout(row, schema, project, view=view)


async def read_layout_async(connection: AsyncConnection[Any], project: str, view: str, *, schema: str) -> Layout:
    """The same for an event loop."""
    try:
        row = await (await connection.execute(_query(schema, project, view))).fetchone()
    except (UndefinedTable, InvalidSchemaName):
        row = None
    return _layout(row, schema, project, view=view)


class LayoutCache:
    """The layouts that this process has read. It needs no lock: each step is one operation of a dictionary.

    A layout here may be outdated: the tables report that (LAYOUT_ERRORS), and the caller forgets the view and reads
    again.
    """

    def __init__(self) -> None:
        self._layouts: dict[ViewKey, Layout] = {}

    def get(self, connection: Connection[Any], view: ViewKey) -> Layout:
        """The layout as last read. Raises NoLayout."""
        schema, project, name = view
        if (layout := self._layouts.get(view)) is None:
            layout = self._layouts[view] = read_layout(connection, project, name, schema=schema)
        return layout

    def forget(self, view: ViewKey) -> None:
        """Has the layout read again at the next use."""
        self._layouts.pop(view, None)


def _query(schema: str, project: str, view: str) -> bytes:
    # Constants instead of parameters, because cursors differ in their placeholders.
    return f"SELECT table_name, layout, columns {_catalogue_row(schema, project, view)}".encode()


def _catalogue_row(schema: str, project: str, view: str) -> str:
    return f"FROM {catalogue(schema)} WHERE project = {literal(project)} AND view = {literal(view)}"


def _layout(row: Any, schema: str, project: str, *, view: str) -> Layout:
    if row is None:
        raise NoLayout(f"Feature view {view} of project {project} has no table in schema {schema}: run `feast apply`.")
    table, version, columns = row
    keys, features = (tuple(Column(**each) for each in columns[kind]) for kind in ("keys", "features"))
    return Layout(schema, project, view, table=table, version=version, keys=keys, features=features)
