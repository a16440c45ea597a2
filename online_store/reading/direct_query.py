"""The SQL that reads several feature views in one round trip.

Both queries take one array for each join key, and look up the rows of each view by primary key.

- `rows_query` returns a row for each key, with all features of all views side by side. Cheapest for few keys, and what
  Feast's interface needs.
- `arrays_query` returns one row of arrays: each feature for the keys that the view has. Cheapest for many keys, because
  no Python object is made of a number. It also returns the result of `check_query`, from the same snapshot.

Both return the timestamp of each row and, for an exceptional one, [layout, apart]: some features are absent or have
timestamps of their own, which `moments.py` decodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from online_store.encoding.copy_format import NOT_A_TIME
from online_store.errors import Unsupported
from online_store.schema.layout import EVENT_TS, LAYOUT, OWN_MOMENTS, Column, Layout, catalogue
from online_store.schema.names import literal, quoted

NULL_PLACEHOLDERS = {
    "bool": "false",
    "bytea": "''::bytea",
    "float4": "0::float4",
    "float8": "0::float8",
    "int4": "0",
    "int8": "0::int8",
    "text": "''",
}
"""The types that can be read, with what replaces a null in an array, so that all its elements have the same size."""
MAX_RESULT_COLUMNS = 1664
"""PostgreSQL's limit for a query."""


def arrays_fit(views: int, features: int) -> bool:
    """Whether one `arrays_query` can return so many."""
    return 1 + 4 * views + 2 * features <= MAX_RESULT_COLUMNS


@dataclass(frozen=True)
class ViewPart:
    """One view of a lookup: its layout, and the features to read, each with its position in the result.

    `features` are those that the table has; the others are absent for every entity.
    """

    layout: Layout
    features: tuple[tuple[int, Column], ...]

    @property
    def newest(self) -> int:
        """The layout of the newest feature: a row of an older one lacks something."""
        return max((column.since for _, column in self.features), default=0)


@dataclass(frozen=True)
class LookupPlan:
    """The views to read, and the number of requested features."""

    parts: tuple[ViewPart, ...]
    width: int
    nan_is_null: bool

    @cached_property
    def keys(self) -> list[tuple[str, str]]:
        """Name and PostgreSQL type of the join keys, in the order of the query's parameters."""
        return list(dict.fromkeys((key.name, key.pg_type) for part in self.parts for key in part.layout.keys))

    @cached_property
    def versions(self) -> tuple[int, ...]:
        """Of the layouts."""
        return tuple(part.layout.version for part in self.parts)

    @cached_property
    def complete(self) -> bool:
        """Whether the tables have all requested features."""
        return sum(len(part.features) for part in self.parts) == self.width


def make_plan(layouts: Sequence[Layout], features: Sequence[tuple[str, str]], *, nan_is_null: bool) -> LookupPlan:
    """`features` are pairs of view and feature. Raises Unsupported for a type that is not in NULL_PLACEHOLDERS."""
    parts = []
    for layout in layouts:
        named = [
            (position, layout.feature(name)) for position, (view, name) in enumerate(features) if view == layout.view
        ]
        present = tuple((position, column) for position, column in named if column is not None)
        for _, column in present:
            if column.wrapped or column.pg_type not in NULL_PLACEHOLDERS:
                raise Unsupported(
                    f"Feature {column.name} of view {layout.view} is a {column.feast_type}: read it through Feast."
                )
        parts.append(ViewPart(layout, present))
    return LookupPlan(tuple(parts), len(features), nan_is_null)


def rows_query(plan: LookupPlan) -> str:
    """Columns: `width` values, then each view's timestamp, each view's exception, and the key's number (from 1).

    A value of type timestamptz is in seconds since 1970, as in Feast, because Python's years have four digits.
    """
    values = ["NULL"] * plan.width
    for number, part in enumerate(plan.parts):
        for position, column in part.features:
            value = _selected(f"v{number}.{quoted(column.column)}", column.pg_type)
            values[position] = f"NULLIF({value}, 'NaN')" if plan.nan_is_null and column.is_float else value
    moments = [f"v{number}.{EVENT_TS}" for number in range(len(plan.parts))]
    exceptions = [_exception(number, part) for number, part in enumerate(plan.parts)]
    joins = [f"LEFT JOIN {_join(plan, number)}" for number in range(len(plan.parts))]
    selected = ", ".join([*values, *moments, *exceptions, "given.place::int4"])
    return f"SELECT {selected} FROM {_keys(plan)} {' '.join(joins)}"


def checked_rows_query(plan: LookupPlan) -> str:
    """`rows_query` with the count of `check_query`, from the same snapshot, as its last column."""
    return f"SELECT found.*, ({check_query(plan)}) AS held FROM ({rows_query(plan)}) AS found"


def arrays_query(plan: LookupPlan) -> str:
    """Columns: that of `check_query`; for each view the numbers of the keys found (from 1), timestamps, numbers of
    exceptional rows, exceptions, then for each feature values (NaN included) and the numbers of nulls. An empty array
    is returned as null.
    """
    parts = [f"({_arrays(plan, number)}) AS a{number}" for number in range(len(plan.parts))]
    return f"SELECT * FROM ({check_query(plan)}) AS held, {', '.join(parts)}"


def check_query(plan: LookupPlan) -> str:
    """Counts the tables that still have the layout of the plan. No two states of any table share a version."""
    layouts = [part.layout for part in plan.parts]
    views = ", ".join(literal(each.view) for each in layouts)
    versions = ", ".join(str(each.version) for each in layouts)
    where = f"project = {literal(layouts[0].project)} AND view IN ({views}) AND layout IN ({versions})"
    return f"SELECT count(*) FROM {catalogue(layouts[0].schema)} WHERE {where}"


def _selected(name: str, pg_type: str) -> str:
    if pg_type == "timestamptz":
        return _seconds(name)
    if pg_type == "timestamptz[]":
        seconds = f"SELECT array_agg({_seconds('of.moment')} ORDER BY of.number)"
        array = f"({seconds} FROM unnest({name}) WITH ORDINALITY AS of (moment, number))"
        return f"CASE WHEN {name} IS NOT NULL THEN coalesce({array}, '{{}}') END"
    return name


def _seconds(name: str) -> str:
    return f"CASE WHEN {name} = '-infinity' THEN {NOT_A_TIME} ELSE extract(epoch FROM {name})::int8 END"


def _arrays(plan: LookupPlan, number: int) -> str:
    part, position = plan.parts[number], "given.place::int4"
    exception, exceptional = _exception(number, part), _is_exceptional(number, part)
    arrays = [
        f"array_agg({position})",
        f"array_agg(v{number}.{EVENT_TS})",
        f"array_agg({position}) FILTER (WHERE {exceptional})",
        f"array_agg({exception}) FILTER (WHERE {exceptional})",
    ]
    for _, column in part.features:
        value = f"v{number}.{quoted(column.column)}"
        arrays.append(f"array_agg(coalesce({value}, {NULL_PLACEHOLDERS[column.pg_type]}))")
        arrays.append(f"array_agg({position}) FILTER (WHERE {value} IS NULL)")
    named = ", ".join(f"{array} AS c{which}" for which, array in enumerate(arrays))
    return f"SELECT {named} FROM {_keys(plan)} JOIN {_join(plan, number)}"


def _keys(plan: LookupPlan) -> str:
    arrays = ", ".join(f"${number}::{pg_type}[]" for number, (_, pg_type) in enumerate(plan.keys, 1))
    names = ", ".join(f"k{number}" for number in range(len(plan.keys)))
    return f"unnest({arrays}) WITH ORDINALITY AS given ({names}, place)"


def _join(plan: LookupPlan, number: int) -> str:
    layout, keys = plan.parts[number].layout, plan.keys
    same = (f"v{number}.{quoted(key.column)} = given.k{keys.index((key.name, key.pg_type))}" for key in layout.keys)
    return f"{layout.full_name} AS v{number} ON {' AND '.join(same)}"


def _is_exceptional(number: int, part: ViewPart) -> str:
    # A row of a later layout may be of a new table of the same name, with other keys or types.
    layout, newer = f"v{number}.{LAYOUT}", f"v{number}.{LAYOUT} > {part.layout.version}"
    return f"{layout} < {part.newest} OR {newer} OR v{number}.{OWN_MOMENTS} IS NOT NULL"


def _exception(number: int, part: ViewPart) -> str:
    exception = f"jsonb_build_array(v{number}.{LAYOUT}, v{number}.{OWN_MOMENTS})"
    return f"CASE WHEN {_is_exceptional(number, part)} THEN {exception} END"
