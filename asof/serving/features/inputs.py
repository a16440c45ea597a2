"""ModelInput: a model's feature values with their evidence, from the online store or from the request."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asof.errors import AsOfError
from asof.inference.stored_columns import StoredColumns
from asof.inference.verdicts import StoredRow, Verdict, row_moments
from asof.ledger.answers import ReadColumns, ReadValues
from asof.serving.features.overrides import OVERRIDDEN

Evidence = Mapping[str, Any]
"""The members of an answer on its features: `flags` and, from the store, `as_of`; `overridden` with overrides."""
JudgeRow = Callable[[int, StoredRow], Evidence]
"""The evidence for the row of an index. Raises an AsOfError where the model may not use the row."""


class ModelInput(NamedTuple):
    """One instance: its feature values by name, and their evidence."""

    values: Mapping[str, Any]
    evidence: Evidence

    @property
    def read(self) -> ReadValues:
        """What the ledger keeps of them."""
        flags = self.evidence["flags"]
        if overridden := self.evidence.get(OVERRIDDEN):
            flags = [*flags, *overridden]  # the last verdict on a feature is kept
        verdicts = {flag["feature"]: Verdict(flag["verdict"]) for flag in flags} if flags else None
        return ReadValues(self.values, self.evidence, verdicts)


@dataclass(frozen=True)
class ModelInputs:
    """n instances: `judged` has the evidence of each, or the error that refuses it.

    `accepted` are the indices of those with evidence, in order; `values` are their features by name, each of shape
    (len(accepted),), without nulls. `read` has what was read for all n.
    """

    judged: Sequence[Evidence | AsOfError]
    values: Mapping[str, NDArray[Any]]
    accepted: Sequence[int]
    read: ReadColumns


PendingInputs = Callable[[], ModelInputs]
"""Inputs that have been looked up; the call judges them, and may be made in any thread."""


def stored_inputs(columns: StoredColumns, good: NDArray[np.bool_], judge: JudgeRow) -> ModelInputs:
    """Inputs from a store. `good`, shape (n,), are the rows without a finding; `judge` decides about the others."""
    of_good = iter(_good_evidence(columns, good))
    judged = [next(of_good) if each else _judged(index, columns, judge) for index, each in enumerate(good.tolist())]
    accepted = _accepted(judged)
    return ModelInputs(judged, columns.values(accepted), accepted, _read(columns))


def request_inputs(results: Iterable[ModelInput | AsOfError], names: Sequence[str]) -> ModelInputs:
    """Inputs from requests, judged already; `names` are the features'."""
    every = list(results)
    judged = [each.evidence if isinstance(each, ModelInput) else each for each in every]
    accepted = _accepted(judged)
    rows = [each.read.values if each.read else {} for each in every]
    columns = {name: [row.get(name) for row in rows] for name in names}
    values = {name: np.array([column[index] for index in accepted]) for name, column in columns.items()}
    nulls = {name: np.array([each is None for each in column]) for name, column in columns.items() if None in column}
    read = ReadColumns({name: np.array(column) for name, column in columns.items()}, nulls, no_moments(len(every)))
    return ModelInputs(judged, values, accepted, read)


def no_moments(count: int) -> NDArray[np.int64]:
    """Those of values that are from no store."""
    return np.zeros((count, 0), dtype=np.int64)


def _read(columns: StoredColumns) -> ReadColumns:
    """The columns for the ledger, with the moments of each view, or of each feature where those of a view differ."""
    distinct = columns.distinct_moments().values()
    several = any(len(arrays) > 1 for arrays in distinct)
    moments = [each.moments for each in columns.columns] if several else [arrays[0] for arrays in distinct]
    named = list(zip(columns.features, columns.columns, strict=True))
    values = {feature.name: column.values for feature, column in named}
    nulls = {feature.name: column.nulls for feature, column in named if column.nulls.any()}
    return ReadColumns(values, nulls, np.stack(moments, axis=1).astype(np.int64))


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
