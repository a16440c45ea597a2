"""StoredColumns: the stored features of many entities as arrays, much faster than a StoredRow for each.

Rows without any finding are identified here, all at once. Every other row is converted to a StoredRow and judged by
`asof.inference.verdicts`, so that each error message exists once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from asof.features.feature_contract import Feature
from asof.inference.verdicts import Policy, StoredRow

MOMENT = "datetime64[us]"
"""Moments in UTC; NaT: none."""
DTYPES = {"Bool": "bool", "Int64": "int64", "Int32": "int32", "Float64": "float64", "Float32": "float32"}
"""Feast's types -> NumPy's; values of all other types are objects."""


@dataclass(frozen=True, slots=True)
class StoredColumn:
    """One feature of n entities, each array of shape (n,).

    `nulls`: where there is no value (`values` then holds an arbitrary one). `moments`: the moment that the value
    describes; NaT where the view has no row of the entity, or the row lacks the feature. Features of one view may share
    one array of moments.
    """

    values: NDArray[Any]
    nulls: NDArray[np.bool_]
    moments: NDArray[np.datetime64]

    @property
    def infinite(self) -> NDArray[np.bool_]:
        """Where the value is an infinite number; shape (n,)."""
        is_float = np.issubdtype(self.values.dtype, np.floating)
        return np.isinf(self.values) if is_float else np.zeros(len(self.values), dtype=bool)


@dataclass(frozen=True, slots=True)
class StoredColumns:
    """The stored features of n entities: a StoredColumn for each feature."""

    features: Sequence[Feature]
    columns: Sequence[StoredColumn]

    @classmethod
    def from_rows(cls, features: Sequence[Feature], rows: Sequence[StoredRow]) -> Self:
        """The columns of n StoredRows of these features."""
        return cls(features, [_column(feature, index, rows) for index, feature in enumerate(features)])

    def __len__(self) -> int:
        return len(self.columns[0].nulls)

    def row(self, index: int) -> StoredRow:
        """The features of one entity, as Python objects."""
        values = ((None if each.nulls[index] else each.values[index]) for each in self.columns)
        plain = [each.item() if isinstance(each, np.generic) else each for each in values]
        return StoredRow(self.features, plain, self.moments(index))

    def moments(self, index: int) -> list[datetime | None]:
        """The moment of each feature of one entity."""
        moments = (each.moments[index].item() for each in self.columns)
        return [moment.replace(tzinfo=UTC) if moment else None for moment in moments]

    def distinct_moments(self) -> Mapping[str, Sequence[NDArray[np.datetime64]]]:
        """For each view the different arrays of moments among its features; usually one."""
        distinct: dict[str, list[NDArray[np.datetime64]]] = {}
        for feature, column in zip(self.features, self.columns, strict=True):
            arrays = distinct.setdefault(feature.view, [])
            if not any(
                each is column.moments or np.array_equal(each, column.moments, equal_nan=True) for each in arrays
            ):
                arrays.append(column.moments)
        return distinct

    def oldest_moments(self) -> Mapping[str, NDArray[np.datetime64]]:
        """For each view the oldest moment of each entity, shape (n,); NaT where the entity has none."""
        return {view: reduce(np.fmin, arrays) for view, arrays in self.distinct_moments().items()}

    def all_present(self, policies: Sequence[Policy], now: datetime) -> NDArray[np.bool_]:
        """For each entity the result of `asof.inference.verdicts.all_present`, shape (n,).

        `policies` are those of the features' views, in the order of the features.
        """
        present = np.ones(len(self), dtype=bool)
        timely: dict[tuple[int, Policy], NDArray[np.bool_]] = {}
        for column, policy in zip(self.columns, policies, strict=True):
            key = (id(column.moments), policy)
            if key not in timely:
                timely[key] = _timely(column.moments, policy, now)
            present &= timely[key] & ~column.nulls & ~column.infinite
        return present

    def values(self, indices: Sequence[int] | NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The values of entities without nulls by feature, for `feature_contract.input_arrays`."""
        return {
            feature.name: column.values[indices] for feature, column in zip(self.features, self.columns, strict=True)
        }


def _column(feature: Feature, index: int, rows: Sequence[StoredRow]) -> StoredColumn:
    objects = [row.values[index] for row in rows]
    dtype = DTYPES.get(feature.dtype, "object")
    values: NDArray[Any] = np.zeros(len(rows), dtype=dtype)
    nulls = np.array([value is None for value in objects], dtype=bool)
    present = [value for value in objects if value is not None]
    values[~nulls] = np.fromiter(present, dtype, len(present))
    moments = (row.moments[index] for row in rows)
    return StoredColumn(values, nulls, np.array([each and _naive_utc(each) for each in moments], dtype=MOMENT))


def _timely(moments: NDArray[np.datetime64], policy: Policy, now: datetime) -> NDArray[np.bool_]:
    """Where a moment exists, is not in the future and not too old: a comparison with NaT is false."""
    moment = np.datetime64(_naive_utc(now), "us")
    timely: NDArray[np.bool_] = moments <= moment
    if policy.max_age is not None:
        timely &= moments >= moment - np.timedelta64(policy.max_age)
    return timely


def _naive_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
