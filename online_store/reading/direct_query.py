"""The two queries that read several feature views in one round trip: layouts in, their text out.

Both take one array for each join key, and look every view's rows up by its primary key.

- `rows_query`: a row for each key, with all features of all views beside each other. Cheapest for few.
- `arrays_query`: one row, of arrays: each feature of the keys that the view knows. Cheapest for many: nobody makes a
  row or a Python object of a number. It also tells whether the layouts hold, as `check_query` does, at the same moment.

Both tell of each view's row its moment, and of an exceptional one [layout, apart], which `moments.py` reads: that some
of its features are absent, or have moments of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from online_store.errors import NotOffered
from online_store.schema.layout import APART, EVENT_TS, LAYOUT, Column, Layout, catalogue
from online_store.schema.names import literal, quoted

ZEROS = {
    "bool": "false",
    "bytea": "''::bytea",
    "float4": "0::float4",
    "float8": "0::float8",
    "int4": "0",
    "int8": "0::int8",
    "text": "''",
}
"""The types that are read, and what stands in an array where there is no value: so NumPy finds each element."""


MOST_FIELDS = 1664
"""PostgreSQL's limit of what a query gives."""


def arrays_fit(views: int, features: int) -> bool:
    """Whether so many can be read by one `arrays_query`."""
    return 1 + 4 * views + 2 * features <= MOST_FIELDS


@dataclass(frozen=True)
class ViewPart:
    """One view of a lookup: its layout, and the features that are read of it, by the place that each has in the answer.

    `features` holds only those that the table has; the others are absent everywhere.
    """

    layout: Layout
    features: tuple[tuple[int, Column], ...]

    @property
    def newest(self) -> int:
        """The layout of the newest feature read: a row from before lacks something."""
        return max((column.since for _, column in self.features), default=0)


@dataclass(frozen=True)
class Plan:
    """What is read: the views, how many features are asked for, and the join keys as (name, PostgreSQL's type)."""

    parts: tuple[ViewPart, ...]
    width: int
    nan_is_null: bool

    @cached_property
    def keys(self) -> list[tuple[str, str]]:
        """The arrays that the query takes, in their order."""
        return list(dict.fromkeys((key.name, key.pg_type) for part in self.parts for key in part.layout.keys))

    @cached_property
    def versions(self) -> tuple[int, ...]:
        """Of the layouts."""
        return tuple(part.layout.version for part in self.parts)

    @cached_property
    def complete(self) -> bool:
        """Whether the tables have all that is asked for."""
        return sum(len(part.features) for part in self.parts) == self.width


def make_plan(layouts: Sequence[Layout], wanted: Sequence[tuple[str, str]], *, nan_is_null: bool) -> Plan:
    """`wanted` names view and feature. Raises NotOffered where a feature is neither a number nor a text or the like."""
    parts = []
    for layout in layouts:
        named = [(place, layout.feature(name)) for place, (view, name) in enumerate(wanted) if view == layout.view]
        features = tuple((place, column) for place, column in named if column is not None)
        for _, column in features:
            if column.wrapped or column.pg_type not in ZEROS:
                raise NotOffered(
                    f"Feature {column.name} of {layout.view} is a {column.feast_type}: read through Feast."
                )
        parts.append(ViewPart(layout, features))
    return Plan(tuple(parts), len(wanted), nan_is_null)


def rows_query(plan: Plan) -> str:
    """Gives `width` values, then each view's moment, then each view's exception, then the key's place (from 1)."""
    values = ["NULL"] * plan.width
    for number, part in enumerate(plan.parts):
        for place, column in part.features:
            values[place] = _value(plan, number, column)
    moments = [f"v{number}.{EVENT_TS}" for number in range(len(plan.parts))]
    exceptions = [_exception(number, part) for number, part in enumerate(plan.parts)]
    joins = [f"LEFT JOIN {_join(plan, number)}" for number in range(len(plan.parts))]
    selected = ", ".join([*values, *moments, *exceptions, "given.place::int4"])
    return f"SELECT {selected} FROM {_given(plan)} {' '.join(joins)}"


def arrays_query(plan: Plan) -> str:
    """Gives what `check_query` does; of each view places (of the keys found, from 1), moments, places of exceptions,
    exceptions; then for each feature values, a NaN as it is, and the places of its nulls. What would be an empty array
    is null.
    """
    parts = [f"({_arrays(plan, number)}) AS a{number}" for number in range(len(plan.parts))]
    return f"SELECT * FROM ({check_query(plan)}) AS held, {', '.join(parts)}"


def check_query(plan: Plan) -> str:
    """Gives how many of the tables are as they were when the plan was made.

    No two states of any table ever share a version.
    """
    layouts = [part.layout for part in plan.parts]
    views, versions = (
        ", ".join(literal(each.view) for each in layouts),
        ", ".join(str(each.version) for each in layouts),
    )
    where = f"project = {literal(layouts[0].project)} AND view IN ({views}) AND layout IN ({versions})"
    return f"SELECT count(*) FROM {catalogue(layouts[0].schema)} WHERE {where}"


def _arrays(plan: Plan, number: int) -> str:
    part, place = plan.parts[number], "given.place::int4"
    exception, exceptional = _exception(number, part), _is_exceptional(number, part)
    arrays = [
        f"array_agg({place})",
        f"array_agg(v{number}.{EVENT_TS})",
        f"array_agg({place}) FILTER (WHERE {exceptional})",
        f"array_agg({exception}) FILTER (WHERE {exceptional})",
    ]
    for _, column in part.features:
        value = f"v{number}.{quoted(column.column)}"
        arrays.append(f"array_agg(coalesce({value}, {ZEROS[column.pg_type]}))")
        arrays.append(f"array_agg({place}) FILTER (WHERE {value} IS NULL)")
    named = ", ".join(f"{array} AS c{which}" for which, array in enumerate(arrays))
    return f"SELECT {named} FROM {_given(plan)} JOIN {_join(plan, number)}"


def _given(plan: Plan) -> str:
    arrays = ", ".join(f"${number}::{pg_type}[]" for number, (_, pg_type) in enumerate(plan.keys, 1))
    names = ", ".join(f"k{number}" for number in range(len(plan.keys)))
    return f"unnest({arrays}) WITH ORDINALITY AS given ({names}, place)"


def _join(plan: Plan, number: int) -> str:
    layout, keys = plan.parts[number].layout, plan.keys
    same = (f"v{number}.{quoted(key.column)} = given.k{keys.index((key.name, key.pg_type))}" for key in layout.keys)
    return f"{layout.place} AS v{number} ON {' AND '.join(same)}"


def _value(plan: Plan, number: int, column: Column) -> str:
    name = f"v{number}.{quoted(column.column)}"
    return f"NULLIF({name}, 'NaN')" if plan.nan_is_null and column.is_float else name


def _is_exceptional(number: int, part: ViewPart) -> str:
    # A row of a later layout than ours may be another table's of the same name: keyed otherwise, or of another type.
    layout, newer = f"v{number}.{LAYOUT}", f"v{number}.{LAYOUT} > {part.layout.version}"
    return f"{layout} < {part.newest} OR {newer} OR v{number}.{APART} IS NOT NULL"


def _exception(number: int, part: ViewPart) -> str:
    exception = f"jsonb_build_array(v{number}.{LAYOUT}, v{number}.{APART})"
    return f"CASE WHEN {_is_exceptional(number, part)} THEN {exception} END"
