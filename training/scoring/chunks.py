"""Snapshot tables -> chunks of users with what is held of each feature, streamed: memory does not grow with the users.

One COPY gives all of them, so that a run sees the tables as they were at one moment, whatever is loaded meanwhile.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as arrow
from numpy.typing import NDArray

from asof.feature_contract import Feature, FeatureContract
from asof.serving.found_columns import DTYPES, FoundColumn, FoundColumns
from training.copied import copied
from training.known_at import KnownTables
from training.point_in_time import never_quadratic
from training.rows_digest import TYPES
from training.scoring.features import ScoredFeatures
from training.scoring.query import Users, user_rows


@dataclass(frozen=True)
class Chunk:
    """Some users: their keys, and what is held of them, in the same order."""

    entities: arrow.Array
    found: FoundColumns

    def __len__(self) -> int:
        return len(self.entities)


def read_chunks(
    tables: KnownTables, users: Users, features: ScoredFeatures, *, as_of: datetime, size: int
) -> Iterator[Chunk]:
    """All users in order, `size` at a time. Raises TrainingSetError for a value that is not of its feature's type."""
    types = {users.extract.entity: TYPES["String"]}
    dtypes = {feature.name: TYPES[feature.dtype] for feature in features.contract.features}
    for source in features.sources:
        types |= {name: dtypes[name] for name in source.columns} | {_moment(source.view): TYPES["UnixTimestamp"]}
    with never_quadratic(tables, user_rows(users, features.sources, as_of)) as query:
        for table in _sized(copied(tables.connection, query, types), size):
            yield _chunk(table, features.contract)


def _moment(view: str) -> str:
    return f"moment of {view}"


def _sized(tables: Iterable[arrow.Table], size: int) -> Iterator[arrow.Table]:
    """The same rows cut anew, `size` in each table but the last: so a run that goes on cuts them at the same places."""
    left: arrow.Table | None = None
    for table in tables:
        whole = table if left is None else arrow.concat_tables([left, table])
        cut = len(whole) - len(whole) % size
        yield from (whole.slice(start, size).combine_chunks() for start in range(0, cut, size))
        left = whole.slice(cut)
    if left is not None and len(left):
        yield left.combine_chunks()


def _chunk(table: arrow.Table, contract: FeatureContract) -> Chunk:
    moments = {view: _moments(_array(table, _moment(view))) for view in contract.views}
    columns = [_column(_array(table, feature.name), feature, moments[feature.view]) for feature in contract.features]
    return Chunk(_array(table, table.column_names[0]), FoundColumns(contract.features, columns))


def _array(table: arrow.Table, name: str) -> arrow.Array:
    return table[name].chunk(0)


def _moments(values: arrow.Array) -> NDArray[np.datetime64]:
    """In UTC, NaT for none."""
    told: NDArray[np.datetime64] = values.to_numpy(zero_copy_only=False).astype("datetime64[us]", copy=False)
    return told


def _column(values: arrow.Array, feature: Feature, moments: NDArray[np.datetime64]) -> FoundColumn:
    """A NaN is a null, as the service reads it."""
    nulls: NDArray[np.bool_] = values.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    dtype = DTYPES.get(feature.dtype, "object")
    filled = values if dtype == "object" else values.fill_null(np.zeros((), dtype).item())
    given: NDArray[Any] = filled.to_numpy(zero_copy_only=False)
    return FoundColumn(given.astype(dtype, copy=False), nulls, moments)
