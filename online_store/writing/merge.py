"""The statement that merges rows feature by feature: for partial rows, and for whole ones onto rows that stand apart.

`apart` of a row says for which features its event_ts does not speak: {feature: that feature's own moment, or null
where it is absent}. A staged partial row uses the same form to say which features it does not give. Each feature is
taken where it is newer than what the row holds; the row's event_ts becomes the greatest moment of all, and every other
stands apart.
"""

from online_store.schema.layout import APART, CREATED_TS, EVENT_TS, LAYOUT, Column, Layout
from online_store.schema.names import literal, quoted


def merge_statement(layout: Layout, staged: str, *, onto_apart: bool = False) -> str:
    """INSERT .. ON CONFLICT for the rows of `staged`; with `onto_apart` whole rows, only onto rows that stand apart, or
    that lack features which came after them.
    """
    keys = ", ".join(quoted(each.column) for each in layout.keys)
    values = [*(quoted(each.column) for each in layout.features), EVENT_TS, CREATED_TS]
    given = [*values, "NULL::jsonb" if onto_apart else APART]
    which = f" WHERE EXISTS (SELECT FROM {layout.place} AS held WHERE {_same_key(layout)})" if onto_apart else ""
    targets = ", ".join([keys, *values, APART, LAYOUT])
    return (
        f"INSERT INTO {layout.place} AS held ({targets})"
        f" SELECT {', '.join([keys, *given])}, {layout.version} FROM {staged} AS staged{which} ORDER BY {keys}"
        f" ON CONFLICT ({keys}) DO UPDATE SET ({', '.join([*values, LAYOUT, APART])}) = (SELECT {_merged(layout)})"
        f" WHERE (SELECT {_something_changes(layout)})"
    )


def _same_key(layout: Layout) -> str:
    keys = " AND ".join(f"held.{quoted(each.column)} = staged.{quoted(each.column)}" for each in layout.keys)
    return f"(held.{APART} IS NOT NULL OR held.{LAYOUT} < {layout.newest}) AND {keys}"


def _merged(layout: Layout) -> str:
    taken = [
        f"CASE WHEN takes.f{number} THEN excluded.{column} ELSE held.{column} END"
        for number, column in enumerate(quoted(each.column) for each in layout.features)
    ]
    moments = ", ".join(f"({literal(each.name)}, becomes.f{number})" for number, each in enumerate(layout.features))
    apart = (
        f"(SELECT jsonb_object_agg(of.feature, of.moment) FROM (VALUES {moments}) AS of (feature, moment)"
        f" WHERE of.moment IS DISTINCT FROM row_.{EVENT_TS})"
    )
    created = (
        f"CASE WHEN excluded.{EVENT_TS} > held.{EVENT_TS} THEN excluded.{CREATED_TS}"
        f" WHEN excluded.{EVENT_TS} < held.{EVENT_TS} THEN held.{CREATED_TS}"
        f" ELSE greatest(excluded.{CREATED_TS}, held.{CREATED_TS}) END"
    )
    latest = f"LATERAL (SELECT greatest(held.{EVENT_TS}, excluded.{EVENT_TS}) AS {EVENT_TS}) AS row_"
    return (
        ", ".join([*taken, f"row_.{EVENT_TS}", created, f"excluded.{LAYOUT}", apart])
        + f" FROM {_steps(layout)}, {latest}"
    )


def _something_changes(layout: Layout) -> str:
    changes = (
        f"takes.f{number} AND (was.f{number} IS DISTINCT FROM becomes.f{number}"
        f" OR held.{column} IS DISTINCT FROM excluded.{column} OR created.later)"
        for number, column in enumerate(quoted(each.column) for each in layout.features)
    )
    # The same values of the same moment, created later, count: or what was created between the two would replace them.
    latest = f"greatest(excluded.{CREATED_TS}, held.{CREATED_TS}) IS DISTINCT FROM held.{CREATED_TS}"
    created = f"(SELECT excluded.{EVENT_TS} = held.{EVENT_TS} AND {latest} AS later) AS created"
    return " OR ".join(f"({each})" for each in changes) + f" FROM {_steps(layout)}, {created}"


def _steps(layout: Layout) -> str:
    """For each feature: the moment that the row holds (null: absent), whether it is taken, the moment that it gets."""
    numbered = list(enumerate(layout.features))
    was = ", ".join(f"{_held_moment(each)} AS f{number}" for number, each in numbered)
    takes = ", ".join(f"{_is_taken(each, number)} AS f{number}" for number, each in numbered)
    becomes = ", ".join(
        f"CASE WHEN takes.f{number} THEN excluded.{EVENT_TS} ELSE was.f{number} END AS f{number}"
        for number, _ in numbered
    )
    return f"(SELECT {was}) AS was, LATERAL (SELECT {takes}) AS takes, LATERAL (SELECT {becomes}) AS becomes"


def _held_moment(feature: Column) -> str:
    name = literal(feature.name)
    return (
        f"CASE WHEN held.{APART} ? {name} THEN (held.{APART} ->> {name})::timestamptz"
        f" WHEN held.{LAYOUT} >= {feature.since} THEN held.{EVENT_TS} END"
    )


def _is_taken(feature: Column, number: int) -> str:
    """Given, and not older. The row's created_ts speaks only for features of the row's own moment."""
    given = f"(excluded.{APART} ? {literal(feature.name)}) IS NOT TRUE"
    tie = (
        f"excluded.{EVENT_TS} = was.f{number} AND (was.f{number} <> held.{EVENT_TS}"
        f" OR (excluded.{CREATED_TS} >= held.{CREATED_TS}) IS NOT FALSE)"
    )
    return f"({given} AND (was.f{number} IS NULL OR excluded.{EVENT_TS} > was.f{number} OR {tie}))"
