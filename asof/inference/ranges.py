"""Feature values compared with the ranges and categories of the training set.

A model predicts for any input, and a linear one with more confidence the farther a value is from its training range. So
the distance is checked before the model is called. A value of a request far outside is an error of the caller and is
refused; a value of the online store is flagged at any distance, because the caller cannot change it. No I/O.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import InvalidRequest
from asof.features.feature_contract import Feature
from asof.given_features import RequestFeature
from asof.inference.stored_columns import StoredColumns
from asof.inference.verdicts import StoredRow, Verdict
from asof.model_facts import ModelFacts

Flag = Mapping[str, Any]

MAX_RANGES_AWAY = 10.0
"""How far a request's value may lie outside its training range, in widths of it: beyond that the unit or the column is
wrong."""


@dataclass(frozen=True)
class OutsideValue:
    """A value outside the training range from `low` to `high`."""

    feature: RequestFeature
    low: float
    high: float

    @property
    def ranges_away(self) -> float:
        """The distance from the nearer end, in widths of the range; infinite where training had a single value."""
        width = self.high - self.low
        distance = max(self.low - self.feature.value, self.feature.value - self.high)
        return distance / width if width else float("inf")

    @property
    def flag(self) -> Flag:
        """Its flag in the answer; `ranges_away` is None where it is infinite."""
        away = self.ranges_away
        return {
            "feature": self.feature.name,
            "verdict": Verdict.OUTSIDE,
            "value": self.feature.value,
            "trained_from": self.low,
            "trained_to": self.high,
            "ranges_away": away if isfinite(away) else None,
        }


def outside_values(features: Sequence[RequestFeature], ranges: Mapping[str, tuple[float, float]]) -> list[OutsideValue]:
    """The values of a request that lie outside their feature's training range (both ends belong to it), to be flagged.

    Raises InvalidRequest, listing place and distance, for those more than MAX_RANGES_AWAY widths outside.
    """
    bounded = ((each, *ranges[each.name]) for each in features if each.name in ranges)
    outside = [OutsideValue(each, low, high) for each, low, high in bounded if not low <= each.value <= high]
    if far := [each for each in outside if each.ranges_away > MAX_RANGES_AWAY]:
        errors = [{"at": f"body.{each.feature.place}", "rule": _rule(each)} for each in far]
        raise InvalidRequest("; ".join(f"{error['at']}: {error['rule']}" for error in errors), errors=errors)
    return outside


def _rule(far: OutsideValue) -> str:
    return (
        f"{far.feature.name} must lie within {MAX_RANGES_AWAY:g} training ranges of {far.low:g} to {far.high:g}; "
        f"{far.feature.value:g} is {far.ranges_away:.3g} ranges away"
    )


def unseen_categories(features: Sequence[RequestFeature], categories: Mapping[str, Set[str]]) -> Iterator[Flag]:
    """A flag for each text of a request that is not in the training set."""
    for each in features:
        if each.name in categories and each.value not in categories[each.name]:
            yield {"feature": each.name, "verdict": Verdict.OUTSIDE, "category": each.value}


class TrainingRanges:
    """A model's training ranges and categories, to compare stored features with, in the order of its contract.

    Features without a range or categories, and missing values, are not compared.
    """

    def __init__(self, facts: ModelFacts) -> None:
        features = list(enumerate(facts.contract.features))
        self.ranges = facts.ranges
        self.categories = {name: frozenset(values) for name, values in facts.categories.items()}
        self._ranges = [(index, *facts.ranges[each.name]) for index, each in features if each.name in facts.ranges]
        self._categories = [
            (index, self.categories[each.name]) for index, each in features if each.name in self.categories
        ]

    def covers(self, values: Sequence[Any]) -> bool:
        """Whether no value of one entity is outside; none of them may be None."""
        for index, low, high in self._ranges:
            if not low <= values[index] <= high:
                return False
        return all(values[index] in known for index, known in self._categories)

    def covers_each(self, columns: StoredColumns) -> NDArray[np.bool_]:
        """For each of n entities whether none of its values is outside; shape (n,)."""
        covered = np.ones(len(columns), dtype=bool)
        for _, outside, _ in self._outside(columns):
            covered &= ~outside
        return covered

    def flags_each(self, columns: StoredColumns) -> dict[int, list[Flag]]:
        """The `flags` of each entity that has any, by its number."""
        flags: dict[int, list[Flag]] = {}
        for index, outside, flag in self._outside(columns):
            rows = np.flatnonzero(outside)
            for number, value in zip(rows.tolist(), columns.columns[index].values[rows].tolist(), strict=True):
                flags.setdefault(number, []).append(flag(value))
        return flags

    def _outside(self, columns: StoredColumns) -> Iterator[tuple[int, NDArray[np.bool_], Callable[[Any], Flag]]]:
        """For each compared feature its index, where its values are outside, shape (n,), and what flags one of them."""
        for index, low, high in self._ranges:
            column, feature = columns.columns[index], columns.features[index]
            values = column.values.astype(np.float64, copy=False)
            outside = ~((values >= low) & (values <= high) | column.nulls)
            yield index, outside, partial(_range_flag, feature, low=low, high=high)
        for index, known in self._categories:
            column, feature = columns.columns[index], columns.features[index]
            seen = np.fromiter((value in known for value in column.values.tolist()), bool, len(column.values))
            yield index, ~(seen | column.nulls), partial(_category_flag, feature)

    def flags(self, row: StoredRow) -> list[Flag]:
        """A flag for each value of one entity that is outside, at any distance."""
        ranges = (
            _range_flag(row.features[index], row.values[index], low, high)
            for index, low, high in self._ranges
            if row.values[index] is not None and not low <= row.values[index] <= high
        )
        categories = (
            _category_flag(row.features[index], row.values[index])
            for index, known in self._categories
            if row.values[index] is not None and row.values[index] not in known
        )
        return [*ranges, *categories]


def _range_flag(feature: Feature, value: float, low: float, high: float) -> Flag:
    return {**_outside_flag(feature), **OutsideValue(RequestFeature(feature.name, float(value), ""), low, high).flag}


def _category_flag(feature: Feature, value: str) -> Flag:
    return {**_outside_flag(feature), "category": value}


def _outside_flag(feature: Feature) -> Flag:
    view = {"view": feature.view} if feature.view else {}
    return {"feature": feature.name, **view, "verdict": Verdict.OUTSIDE}
