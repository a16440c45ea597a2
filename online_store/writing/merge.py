"""The statement that merges rows feature by feature: partial rows, and complete ones into rows with own timestamps.

The column `apart` of a row holds the features that do not share its event_ts: {feature: its own timestamp, or null
where it is absent}. A staged partial row has a null there for each feature that it lacks. A staged feature replaces an
older one; the row's event_ts becomes the latest timestamp of all features, and `apart` has those that differ.
"""

from online_store.schema.layout import CREATED_TS, EVENT_TS, LAYOUT, OWN_MOMENTS, Column, Layout
from online_store.schema.names import literal, quoted


def merge_statement(layout: Layout, staged: str, *, only_exceptional: bool = False) -> str:
    """INSERT .. ON CONFLICT for the rows of `staged`.

    With `only_exceptional` these are complete rows, merged only into rows with own timestamps or without later
    features.
    """
    keys = [quoted(each.column) for each in layout.keys]
    values = [*(quoted(each.column) for each in layout.features), EVENT_TS, CREATED_TS]
    selected = [*keys, *values, "NULL::jsonb" if only_exceptional else OWN_MOMENTS]
    which = (
        f" WHERE EXISTS (SELECT FROM {layout.full_name} AS held WHERE {_same_key(layout)})" if only_exceptional else ""
    )
    changed = ", ".join([*values, LAYOUT, OWN_MOMENTS])
    return (
        f"INSERT INTO {layout.full_name} AS held ({', '.join([*keys, *values, OWN_MOMENTS, LAYOUT])})"
        f" SELECT {', '.join(selected)}, {layout.version} FROM {staged} AS staged{which} ORDER BY {', '.join(keys)}"
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET ({changed}) = (SELECT {_merged(layout)})"
        f" WHERE (SELECT {_something_changes(layout)})"
    )


def _same_key(layout: Layout) -> str:
    keys = " AND ".join(f"held.{quoted(each.column)} = staged.{quoted(each.column)}" for each in layout.keys)
    return f"(held.{OWN_MOMENTS} IS NOT NULL OR held.{LAYOUT} < {layout.newest}) AND {keys}"


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
    # A later created_ts alone is a change: otherwise a row created between the two would replace this one.
    latest = f"greatest(excluded.{CREATED_TS}, held.{CREATED_TS}) IS DISTINCT FROM held.{CREATED_TS}"
    created = f"(SELECT excluded.{EVENT_TS} = held.{EVENT_TS} AND {latest} AS later) AS created"
    return " OR ".join(f"({each})" for each in changes) + f" FROM {_steps(layout)}, {created}"


def _steps(layout: Layout) -> str:
    """For each feature: its current timestamp (null: absent), whether it is replaced, and its new timestamp."""
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
        f"CASE WHEN held.{OWN_MOMENTS} ? {name} THEN (held.{OWN_MOMENTS} ->> {name})::timestamptz"
        f" WHEN held.{LAYOUT} >= {feature.since} THEN held.{EVENT_TS} END"
    )


def _is_taken(feature: Column, number: int) -> str:
    """Present and not older. created_ts decides a tie only for features that share the row's event_ts."""
    present = f"(excluded.{OWN_MOMENTS} ? {literal(feature.name)}) IS NOT TRUE"
    tie = (
        f"excluded.{EVENT_TS} = was.f{number} AND (was.f{number} <> held.{EVENT_TS}"
        f" OR (excluded.{CREATED_TS} >= held.{CREATED_TS}) IS NOT FALSE)"
    )
    return f"({present} AND (was.f{number} IS NULL OR excluded.{EVENT_TS} > was.f{number} OR {tie}))"
