"""FoundColumns: what a store holds of many entities, feature by feature; arrays where a FoundRow each would be slow.

The verdicts are those of `asof.inference.verdicts`: the rows that are good are told here all at once, and any other is
made a FoundRow and judged there, so that there is one wording of what is wrong with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from asof.features.feature_contract import Feature
from asof.inference.verdicts import FoundRow, Policy

MOMENT = "datetime64[us]"
"""Moments in UTC; NaT stands for none."""
DTYPES = {"Bool": "bool", "Int64": "int64", "Int32": "int32", "Float64": "float64", "Float32": "float32"}
"""NumPy's types of Feast's; the values of any other are objects."""


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """One feature of n entities, each array of shape (n,).

    `nulls`: there is no value, and what stands in `values` means nothing. `moments`: what the value describes; NaT
    where the view has no row of the entity, or the row lacks the feature. Features of one view may share their moments.
    """

    values: NDArray[Any]
    nulls: NDArray[np.bool_]
    moments: NDArray[np.datetime64]

    @property
    def infinite(self) -> NDArray[np.bool_]:
        """Where the value is no finite number, though it is one; nowhere in a column of another type."""
        is_float = np.issubdtype(self.values.dtype, np.floating)
        return np.isinf(self.values) if is_float else np.zeros(len(self.values), dtype=bool)


@dataclass(frozen=True, slots=True)
class FoundColumns:
    """What a store holds of n entities: a FoundColumn of each feature."""

    features: Sequence[Feature]
    columns: Sequence[FoundColumn]

    @classmethod
    def from_rows(cls, features: Sequence[Feature], rows: Sequence[FoundRow]) -> Self:
        """The same as n FoundRows of these features."""
        return cls(features, [_column(feature, place, rows) for place, feature in enumerate(features)])

    def __len__(self) -> int:
        return len(self.columns[0].nulls)

    def row(self, number: int) -> FoundRow:
        """What is held of one entity, with Python's own values."""
        return FoundRow(
            self.features,
            [None if each.nulls[number] else _plain(each.values[number]) for each in self.columns],
            self.moments(number),
        )

    def moments(self, number: int) -> list[datetime | None]:
        """The moment of each feature of one entity."""
        return [_moment(each.moments[number]) for each in self.columns]

    def distinct_moments(self) -> Mapping[str, Sequence[NDArray[np.datetime64]]]:
        """For each view the arrays of moments that its features have, each once: mostly one."""
        distinct: dict[str, list[NDArray[np.datetime64]]] = {}
        for feature, column in zip(self.features, self.columns, strict=True):
            of_view = distinct.setdefault(feature.view, [])
            if not any(_same(column.moments, each) for each in of_view):
                of_view.append(column.moments)
        return distinct

    def oldest_moments(self) -> Mapping[str, NDArray[np.datetime64]]:
        """For each view the oldest moment of each entity's values; NaT where it has none."""
        return {view: reduce(np.fmin, arrays) for view, arrays in self.distinct_moments().items()}

    def all_present(self, policies: Sequence[Policy], now: datetime) -> NDArray[np.bool_]:
        """For each entity what `asof.inference.verdicts.all_present` says of its row; `policies` are the features'."""
        good = np.ones(len(self), dtype=bool)
        judged: dict[tuple[int, Policy], NDArray[np.bool_]] = {}
        for column, policy in zip(self.columns, policies, strict=True):
            key = (id(column.moments), policy)
            if key not in judged:
                judged[key] = _timely(column.moments, policy, now)
            good &= judged[key] & ~column.nulls & ~column.infinite
        return good

    def values(self, which: Sequence[int] | NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Values of some entities by feature, none of them null, for `feature_contract.input_arrays`."""
        return {feature.name: column.values[which] for feature, column in zip(self.features, self.columns, strict=True)}


def _column(feature: Feature, place: int, rows: Sequence[FoundRow]) -> FoundColumn:
    given = [row.values[place] for row in rows]
    dtype = DTYPES.get(feature.dtype, "object")
    values: NDArray[Any] = np.zeros(len(rows), dtype=dtype)
    nulls = np.array([value is None for value in given], dtype=bool)
    present = [value for value in given if value is not None]
    values[~nulls] = np.fromiter(present, dtype, len(present))
    moments = [row.moments[place] for row in rows]
    return FoundColumn(values, nulls, np.array([each and _naive(each) for each in moments], dtype=MOMENT))


def _timely(moments: NDArray[np.datetime64], policy: Policy, now: datetime) -> NDArray[np.bool_]:
    """Neither absent, nor from the future, nor too old: a comparison with NaT is false."""
    moment = np.datetime64(_naive(now), "us")
    timely: NDArray[np.bool_] = moments <= moment
    if policy.max_age is not None:
        timely &= moments >= moment - np.timedelta64(policy.max_age)
    return timely


def _same(one: NDArray[np.datetime64], other: NDArray[np.datetime64]) -> bool:
    return one is other or np.array_equal(one.view(np.int64), other.view(np.int64))  # so NaT equals NaT


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _moment(value: np.datetime64) -> datetime | None:
    plain = value.item()
    return plain.replace(tzinfo=UTC) if isinstance(plain, datetime) else None


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
