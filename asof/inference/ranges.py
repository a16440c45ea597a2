"""The values that a model is asked with, beside those that it was trained on.

A model answers whatever it is asked, and a linear one the surer the farther a value is from all that it has seen. So
the distance from the training range is judged before the model is asked. A value of a request that is far outside is
the caller's mistake and refused; a value of the online store is flagged at any distance, for the caller cannot change
it. Pure: no store, no clock, no HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import InvalidRequest
from asof.features.feature_contract import Feature
from asof.inference.found_columns import FoundColumn, FoundColumns
from asof.inference.verdicts import FoundRow, Verdict
from asof.model_facts import ModelFacts
from asof.use_case import RequestFeature

Flag = Mapping[str, Any]

FARTHEST = 10.0
"""Training ranges that a value of a request may lie outside; farther off it is a slip of the unit or the column."""


@dataclass(frozen=True)
class Outside:
    """A value outside the training range from `low` to `high`."""

    given: RequestFeature
    low: float
    high: float

    @property
    def ranges_away(self) -> float:
        """The distance from the nearer end, in widths of the range; infinite where training knew a single value."""
        width = self.high - self.low
        distance = max(self.low - self.given.value, self.given.value - self.high)
        return distance / width if width else float("inf")

    @property
    def flag(self) -> Flag:
        """What the answer says of it; `ranges_away` is None where it is infinite."""
        away = self.ranges_away
        return {
            "feature": self.given.name,
            "verdict": Verdict.OUTSIDE,
            "value": self.given.value,
            "trained_from": self.low,
            "trained_to": self.high,
            "ranges_away": away if isfinite(away) else None,
        }


def outside(given: Sequence[RequestFeature], ranges: Mapping[str, tuple[float, float]]) -> list[Outside]:
    """The values of a request that lie outside their feature's training range (both ends belong to it), to be flagged.

    Raises InvalidRequest for those that lie more than FARTHEST ranges outside, naming each place and how far it is.
    """
    ends = ((each, *ranges[each.name]) for each in given if each.name in ranges)
    found = [Outside(each, low, high) for each, low, high in ends if not low <= each.value <= high]
    if far := [each for each in found if each.ranges_away > FARTHEST]:
        errors = [{"at": f"body.{each.given.place}", "rule": _rule(each)} for each in far]
        raise InvalidRequest("; ".join(f"{error['at']}: {error['rule']}" for error in errors), errors=errors)
    return found


def _rule(far: Outside) -> str:
    return (
        f"{far.given.name} must lie within {FARTHEST:g} training ranges of {far.low:g} to {far.high:g}; "
        f"{far.given.value:g} is {far.ranges_away:.3g} ranges away"
    )


class Trained:
    """What a model was trained on, to judge what an online store holds of its contract's features, in their order.

    `ranges` are those of its facts. A feature of which these have neither a range nor categories is not judged, nor is
    a missing value.
    """

    def __init__(self, facts: ModelFacts) -> None:
        features = list(enumerate(facts.contract.features))
        self.ranges = facts.ranges
        self._ranges = [(place, *facts.ranges[each.name]) for place, each in features if each.name in facts.ranges]
        self._categories = [
            (place, frozenset(facts.categories[each.name])) for place, each in features if each.name in facts.categories
        ]

    def saw_like(self, values: Sequence[Any]) -> bool:
        """Whether no value of one entity, none of them missing, lies outside."""
        for place, low, high in self._ranges:
            if not low <= values[place] <= high:
                return False
        return all(values[place] in seen for place, seen in self._categories)

    def saw_each(self, found: FoundColumns) -> NDArray[np.bool_]:
        """For each of n entities whether none of its values lies outside; shape (n,)."""
        saw = np.ones(len(found), dtype=bool)
        for place, low, high in self._ranges:
            values = found.columns[place].values.astype(np.float64, copy=False)
            saw &= (values >= low) & (values <= high) | found.columns[place].nulls
        for place, seen in self._categories:
            saw &= _among(found.columns[place], seen)
        return saw

    def flags(self, row: FoundRow) -> list[Flag]:
        """A flag for each value of one entity that lies outside, at any distance."""
        ranges = (
            _number_flag(row.features[place], float(row.values[place]), low, high)
            for place, low, high in self._ranges
            if row.values[place] is not None and not low <= row.values[place] <= high
        )
        categories = (
            {**_named(row.features[place]), "category": row.values[place]}
            for place, seen in self._categories
            if row.values[place] is not None and row.values[place] not in seen
        )
        return [*ranges, *categories]


def _among(column: FoundColumn, seen: frozenset[str]) -> NDArray[np.bool_]:
    values = column.values.tolist()
    return np.fromiter((value in seen for value in values), bool, len(values)) | column.nulls


def _number_flag(feature: Feature, value: float, low: float, high: float) -> Flag:
    return {**_named(feature), **Outside(RequestFeature(feature.name, value, ""), low, high).flag}


def _named(feature: Feature) -> Flag:
    return {"feature": feature.name, "view": feature.view, "verdict": Verdict.OUTSIDE}
