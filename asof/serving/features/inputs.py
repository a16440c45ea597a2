"""ModelInput: a model's feature values with their evidence, from the online store or from the request."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import AsOfError
from asof.inference.stored_columns import StoredColumns
from asof.inference.verdicts import StoredRow, row_moments

Evidence = Mapping[str, Any]
"""The members of an answer on its features: `flags` and, from the store, `as_of`."""
JudgeRow = Callable[[int, StoredRow], Evidence]
"""The evidence for the row of an index. Raises an AsOfError where the model may not use the row."""


@dataclass(frozen=True)
class ModelInput:
    """One instance: its feature values by name, and their evidence."""

    values: Mapping[str, Any]
    evidence: Evidence


@dataclass(frozen=True)
class ModelInputs:
    """n instances: `judged` has the evidence of each, or the error that refuses it.

    `accepted` are the indices of those with evidence, in order; `values` are their features by name, each of shape
    (len(accepted),), without nulls.
    """

    judged: Sequence[Evidence | AsOfError]
    values: Mapping[str, NDArray[Any]]
    accepted: Sequence[int]


PendingInputs = Callable[[], ModelInputs]
"""Inputs that have been looked up; the call judges them, and may be made in any thread."""


def stored_inputs(columns: StoredColumns, good: NDArray[np.bool_], judge: JudgeRow) -> ModelInputs:
    """Inputs from a store. `good`, shape (n,), are the rows without a finding; `judge` decides about the others."""
    of_good = iter(_good_evidence(columns, good))
    judged = [next(of_good) if each else _judged(index, columns, judge) for index, each in enumerate(good.tolist())]
    accepted = _accepted(judged)
    return ModelInputs(judged, columns.values(accepted), accepted)


def request_inputs(results: Iterable[ModelInput | AsOfError], names: Sequence[str]) -> ModelInputs:
    """Inputs from requests, judged already; `names` are the features'."""
    every = list(results)
    inputs = [each for each in every if isinstance(each, ModelInput)]
    values: dict[str, NDArray[Any]] = {name: np.array([each.values[name] for each in inputs]) for name in names}
    judged = [each.evidence if isinstance(each, ModelInput) else each for each in every]
    return ModelInputs(judged, values, _accepted(judged))


def _judged(index: int, columns: StoredColumns, judge: JudgeRow) -> Evidence | AsOfError:
    try:
        return judge(index, columns.row(index))
    except AsOfError as error:
        return error


def _accepted(judged: Sequence[Evidence | AsOfError]) -> list[int]:
    return [index for index, each in enumerate(judged) if not isinstance(each, AsOfError)]


def _good_evidence(columns: StoredColumns, good: NDArray[np.bool_]) -> list[Evidence]:
    """The evidence of the good rows; rows with equal moments share one object."""
    moments = chain.from_iterable(columns.distinct_moments().values())
    keys = zip(*(each[good].astype("int64").tolist() for each in moments), strict=True)
    shared: dict[tuple[int, ...], Evidence] = {}
    rows = []
    for index, key in zip(np.flatnonzero(good).tolist(), keys, strict=True):
        if key not in shared:
            shared[key] = {**row_moments(columns.features, columns.moments(index)), "flags": []}
        rows.append(shared[key])
    return rows
