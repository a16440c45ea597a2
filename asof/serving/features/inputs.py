"""Input: what the model is asked with, and what that rests on, wherever the features come from."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import AsOfError
from asof.inference.found_columns import FoundColumns
from asof.inference.verdicts import FoundRow, row_moments


@dataclass(frozen=True)
class Input:
    """The features' values by name, and the members of the answer that tell of them (`flags`, `as_of`)."""

    values: Mapping[str, Any]
    evidence: Mapping[str, Any]


Evidence = Mapping[str, Any]


Judge = Callable[[int, FoundRow], Evidence]


@dataclass(frozen=True)
class Inputs:
    """Of n instances: `told` has the evidence of each, or the error that refuses it.

    `values` are the features by name of those that the model may see, each of shape (len(admitted),), without nulls;
    `admitted` are their places among the n, in order.
    """

    told: Sequence[Evidence | AsOfError]
    values: Mapping[str, NDArray[Any]]
    admitted: Sequence[int]


def admit_found(found: FoundColumns, good: NDArray[np.bool_], judge: Judge) -> Inputs:
    """Inputs out of a store. `good` are the rows with nothing to tell; `judge` gives evidence or raises for another."""
    shared = iter(_evidence(found, good))
    told = [next(shared) if fine else _judged(place, found, judge) for place, fine in enumerate(good.tolist())]
    admitted = _admitted(told)
    return Inputs(told, found.values(admitted), admitted)


def admit_given(read: Iterable[Input | AsOfError], names: Sequence[str]) -> Inputs:
    """Inputs that came in the request, each already judged; `names` are the features'."""
    every = list(read)
    inputs = [each for each in every if isinstance(each, Input)]
    values: dict[str, NDArray[Any]] = {name: np.array([each.values[name] for each in inputs]) for name in names}
    told = [each.evidence if isinstance(each, Input) else each for each in every]
    return Inputs(told, values, _admitted(told))


def _judged(place: int, found: FoundColumns, judge: Judge) -> Evidence | AsOfError:
    try:
        return judge(place, found.row(place))
    except AsOfError as error:
        return error


def _admitted(told: Sequence[Evidence | AsOfError]) -> list[int]:
    return [place for place, each in enumerate(told) if not isinstance(each, AsOfError)]


def _evidence(found: FoundColumns, good: NDArray[np.bool_]) -> list[Evidence]:
    """The evidence of the good rows; rows of the same moments share one."""
    moments = chain.from_iterable(found.distinct_moments().values())
    shared: dict[tuple[int, ...], Evidence] = {}
    rows = []
    keys = zip(*(each[good].astype("int64").tolist() for each in moments), strict=True)
    for place, key in zip(np.flatnonzero(good).tolist(), keys, strict=True):
        if key not in shared:
            shared[key] = {**row_moments(found.features, found.moments(place)), "flags": []}
        rows.append(shared[key])
    return rows
