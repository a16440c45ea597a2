"""Entities of a training set -> Origins: the database row of each view's present values, and when it was loaded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from psycopg import sql

from asof.features.entity_key import KeyValue
from asof.features.join_keys import Entity
from asof.settings import Settings
from asof.use_case import FromStore
from training.data.snapshots.reading.known_at import tables_known_at
from training.features.datasets.point_in_time import read_sources
from training.features.datasets.point_in_time_sql import JoinStrategy, join
from training.features.datasets.training_set import TrainingSet

LABEL = """
SELECT DISTINCT ON ({keys}) {keys}, as_of, created_at FROM {labels}
WHERE as_of = {as_of} AND ({keys}) IN ({entities}) ORDER BY {keys}, created_at DESC"""
VIEWS = "SELECT * FROM ({join}) AS joined WHERE ({keys}) IN ({entities})"
LOADS = "SELECT as_of, known_at, max(loaded_at) FROM public.loads GROUP BY as_of, known_at"


@dataclass(frozen=True)
class Origin:
    """Both times of a row, in UTC, and when it was really loaded; None if no load of these times is recorded."""

    as_of: datetime
    created_at: datetime
    loaded_at: datetime | None


def origins(
    settings: Settings, source: FromStore, now: TrainingSet, *, entities: Iterable[Entity]
) -> Mapping[tuple[Entity, str], Origin]:
    """By entity and feature view (or labels' table, or GIVEN), the row whose values `now` holds, if there is one.

    From the training set's own join, with the times selected instead of the values.
    """
    extract = source.extract
    _, sources = read_sources(settings, now.contract.feature_service, source.given)
    times = tuple(
        replace(source, columns={f"as_of {number}": source.time, f"created_at {number}": source.created})
        for number, source in enumerate(sources)
    )
    keys, count = now.contract.keys, len(extract.keys)
    names = {
        "keys": sql.SQL(", ").join(map(sql.Identifier, extract.keys)),
        "entities": sql.SQL(", ").join(_row(keys.values(entity)) for entity in sorted(set(entities))),
    }
    with tables_known_at(settings, extract, as_of=now.as_of, known_at=now.known_at) as tables:
        joined = join(times, extract, now.as_of, JoinStrategy.INDEX_LOOKUP)
        rows = tables.connection.execute(sql.SQL(VIEWS).format(join=joined, **names)).fetchall()
        labels = tables.connection.execute(
            sql.SQL(LABEL).format(labels=sql.Identifier(extract.labels.name), as_of=sql.Literal(now.as_of), **names)
        ).fetchall()
        loads = tables.connection.execute(LOADS).fetchall()
    loaded = {(as_of, known_at): loaded_at.astimezone(UTC) for as_of, known_at, loaded_at in loads}
    views = (
        (keys.from_row(row[:count]), source.view, *row[count + 2 * n : count + 2 * n + 2])
        for row in rows
        for n, source in enumerate(sources)
    )
    of_labels = ((keys.from_row(row[:count]), extract.labels.name, *row[count:]) for row in labels)
    return {
        (entity, view): Origin(as_of.astimezone(UTC), created.astimezone(UTC), loaded.get((as_of, created)))
        for entity, view, as_of, created in (*views, *of_labels)
        if as_of is not None
    }


def _row(values: Iterable[KeyValue]) -> sql.Composed:
    return sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, values)))
