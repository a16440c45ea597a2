"""The source of a feature view -> every row of the audited entities, by one COPY, when it was known and due online.

A row was known when it was both created (as its table says) and loaded (as the table `loads` says). It was due in the
online store when a materialisation had written it, at the latest some time after it was known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import numpy as np
import pyarrow as arrow
from numpy.typing import NDArray
from psycopg import sql
from psycopg.rows import class_row

from asof.features.join_keys import JoinKeys
from monitoring.audit.reading.served import TYPES, Flags, Moments, as_numpy
from monitoring.outcomes.labels import microseconds
from training.audit.lineage.values import Materialised
from training.data.snapshots.owned_tables import table_exists
from training.data.snapshots.reading.copy_query import copy_rows
from training.data.snapshots.tables import SQL_TYPES, Connection
from training.features.datasets.point_in_time_sql import ViewSource, listed

SKEW = timedelta(seconds=10)
"""By which the clocks of services and PostgreSQL may differ."""
LATER = np.iinfo(np.int64).max
"""In place of a moment that has not come."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

ROWS: LiteralString = """
SELECT audited.code, {time}, {created}, {columns} FROM {source} AS source JOIN {audited} AS audited ON {same}
WHERE isfinite({moment}) AND isfinite({known})"""
LOADS: LiteralString = """
SELECT {as_of}, {known_at}, load_id, {loaded_at} FROM public.loads, jsonb_each(files) AS each (name, facts)
WHERE split_part(name, '.', 1) = %s AND (facts ->> 'new_rows')::bigint > 0"""
MATERIALISATIONS = """
SELECT materialisation_id, as_of, load_id, finished_at, 0 AS later FROM public.materialisations WHERE view = %s
ORDER BY materialisation_id"""
BOOLEANS = {"Bool": arrow.bool_()}


@dataclass(frozen=True)
class Tolerance:
    """How long a row may be missing online after it was loaded, and by how much clocks may differ."""

    lag: timedelta
    skew: timedelta = SKEW

    @property
    def microseconds(self) -> tuple[int, int]:
        """Lag and skew."""
        microsecond = timedelta(microseconds=1)
        return round(self.lag / microsecond), round(self.skew / microsecond)


@dataclass(frozen=True)
class Column:
    """A feature of all rows."""

    values: NDArray[Any]
    nulls: Flags


@dataclass(frozen=True)
class Loaded:
    """One load of a view's table, in microseconds since 1970."""

    as_of: int
    known_at: int
    load_id: int
    loaded_at: int


@dataclass(frozen=True)
class ViewRows:
    """m rows in the order of entity (a code), moment and creation; `order` is the place in it, the same for ties.

    `known` is when a row was created and loaded, `due` when it had to be online. `loads` are those of the table, with
    `materialisations` of the view, oldest first.
    """

    source: ViewSource
    entities: NDArray[np.int64]
    moments: Moments
    created: Moments
    known: Moments
    due: Moments
    order: NDArray[np.int64]
    columns: Mapping[str, Column]
    loads: Sequence[Loaded]
    materialisations: Sequence[Materialised]

    def __len__(self) -> int:
        return len(self.moments)


def read_rows(
    connection: Connection,
    source: ViewSource,
    types: Mapping[str, str],
    entities: Sequence[tuple[Any, ...]],
    *,
    keys: JoinKeys,
    tolerance: Tolerance,
) -> ViewRows:
    """The rows of entities, each the values of the view's keys in the order of `keys`; `types` are those of features.

    Raises TrainingSetError if a column is not of its feature's type.
    """
    table = _copied(connection, source, types, (entities, keys))
    codes, moments, created = (table[name].to_numpy() for name in ("code", "moment", "created"))
    place = np.lexsort((created, moments, codes))
    codes, moments, created = codes[place], moments[place], created[place]
    loads, done = _loads(connection, source), _materialisations(connection, source)
    known, due = _times(moments, created, (loads, done), tolerance)
    columns = {name: Column(*(each[place] for each in as_numpy(table[name]))) for name in types}
    same = np.zeros(len(codes), dtype=bool)
    same[1:] = (np.diff(codes) == 0) & (np.diff(moments) == 0) & (np.diff(created) == 0)
    order = np.cumsum(~same)
    return ViewRows(source, codes, moments, created, known, due, order, columns, loads, done)


def _copied(
    connection: Connection,
    source: ViewSource,
    types: Mapping[str, str],
    asked: tuple[Sequence[tuple[Any, ...]], JoinKeys],
) -> arrow.Table:
    entities, keys = asked
    audited = sql.Identifier(f"asof_audited_{source.view}"[:60])
    own = [key for key in keys.keys if key.name in source.keys]
    named = listed(
        sql.Identifier(key.name) + sql.SQL(f" {SQL_TYPES[key.kind]}") for key in own
    )  # fmt: skip
    connection.execute(sql.SQL("CREATE TEMP TABLE {} (code bigint, {}) ON COMMIT DROP").format(audited, named))
    with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} FROM STDIN").format(audited)) as copy:
        for code, values in enumerate(entities):
            copy.write_row((code, *values))
    connection.execute(sql.SQL("ANALYZE {}").format(audited))
    query = sql.SQL(ROWS).format(
        time=microseconds(moment := sql.Identifier("source", source.time)),
        created=microseconds(known := sql.Identifier("source", source.created)),
        moment=moment,
        known=known,
        columns=listed(sql.Identifier("source", source.columns[name]) for name in types),
        source=sql.SQL(source.text),  # as in feature_repo/
        audited=audited,
        same=sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(
                sql.Identifier("source", source.keys[key.name]), sql.Identifier("audited", key.name)
            )
            for key in own
        ),
    )
    columns = {name: BOOLEANS.get(each, TYPES[each]) for name, each in types.items()}
    asked_for = {"code": arrow.int64(), "moment": arrow.int64(), "created": arrow.int64(), **columns}
    return arrow.concat_tables([arrow.schema(asked_for).empty_table(), *copy_rows(connection, query, asked_for)])


def _loads(connection: Connection, source: ViewSource) -> list[Loaded]:
    if not table_exists(connection, "public.loads"):
        return []
    columns = {name: microseconds(sql.Identifier(name)) for name in ("as_of", "known_at", "loaded_at")}
    return [Loaded(*row) for row in connection.execute(sql.SQL(LOADS).format(**columns), [source.name])]


def _materialisations(connection: Connection, source: ViewSource) -> list[Materialised]:
    if not table_exists(connection, "public.materialisations"):
        return []
    with connection.cursor(row_factory=class_row(Materialised)) as cursor:
        return cursor.execute(MATERIALISATIONS, [source.view]).fetchall()


def _times(
    moments: Moments, created: Moments, records: tuple[Sequence[Loaded], Sequence[Materialised]], tolerance: Tolerance
) -> tuple[Moments, Moments]:
    """When each row was known, and when it was due online."""
    (loads, done), (lag, skew) = records, tolerance.microseconds
    known, due = created.copy(), np.full(len(created), LATER)
    for load in loads:
        own = (moments == load.as_of) & (created == load.known_at)
        known[own] = max(load.known_at, load.loaded_at)
        if written := covering(done, load):
            due[own] = in_microseconds(written.finished_at) + skew
    return known, np.maximum(np.minimum(due, known + lag), moments)


def covering(materialisations: Sequence[Materialised], load: Loaded) -> Materialised | None:
    """The first one that read the load's rows."""
    moment = from_microseconds(load.as_of)
    return next((each for each in materialisations if each.load_id >= load.load_id and each.as_of >= moment), None)


def in_microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_microseconds(number: int) -> datetime:
    return EPOCH + timedelta(microseconds=int(number))
