"""A chunk of users and a model -> Outcomes: for each a prediction, or the error code and detail.

The verdicts are those of the service: rows without a null or stale value are predicted at once, every other goes
through `asof.inference.verdicts.require_usable`, with the run's `as_of` as the current time.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as arrow
from numpy.typing import NDArray

from asof.errors import AsOfError, EntityNotFound, MissingFeatures, PredictionOutOfRange, StaleFeatures
from asof.inference.ranges import Flag, TrainingRanges
from asof.inference.served_model import ServedModel, scored
from asof.inference.stored_columns import StoredColumns
from asof.inference.verdicts import JudgedFeature, Policy, require_usable, timing
from training.scoring.reading import Chunk

FAILED = AsOfError.code
"""The code of a row for which the model fails, as the service answers it."""
REFUSALS = (EntityNotFound, MissingFeatures, StaleFeatures)
NO_FLAGS = "[]"

Texts = list[str | None]


@dataclass(frozen=True)
class Outcomes:
    """For n users: predictions, shape (n,) or (n, classes), and flags as JSON; or an error code with its detail.

    Where there is a code, the prediction is NaN and flags are None.
    """

    predictions: NDArray[np.float64]
    codes: Texts
    details: Texts
    flags: Texts

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which users have a prediction, shape (n,)."""
        return np.array([code is None for code in self.codes])


def judge_chunk(chunk: Chunk, model: ServedModel, policies: Sequence[Policy], now: datetime) -> Outcomes:
    """The outcome of every user; a row for which the model fails affects no other row."""
    count = len(chunk)
    empty = np.full((count, *model.facts.output.shape), np.nan)
    outcomes = Outcomes(empty, [None] * count, [None] * count, [NO_FLAGS] * count)
    trained = TrainingRanges(model.facts)
    valid = chunk.columns.all_present(policies, now)
    patterns, outside = _Patterns(chunk, policies, now), trained.flags_each(chunk.columns)
    for number, flags in outside.items():
        outcomes.flags[number] = json.dumps(flags)
    for number in np.flatnonzero(~valid).tolist():
        try:
            outcomes.flags[number] = json.dumps([*patterns.flags(number), *outside.get(number, [])])
            valid[number] = True
        except REFUSALS as error:
            _refuse(outcomes, number, error.code, str(error))

    rows = np.flatnonzero(valid)
    for number, result in zip(rows.tolist(), scored(model, chunk.columns.values(rows), rows.size), strict=True):
        if isinstance(result, PredictionOutOfRange):
            _refuse(outcomes, number, result.code, str(result))
        elif isinstance(result, Exception):
            _refuse(outcomes, number, FAILED, f"The model failed ({type(result).__name__}): {result}")
        else:
            outcomes.predictions[number] = result
    return outcomes


def _refuse(outcomes: Outcomes, number: int, code: str, detail: str) -> None:
    outcomes.codes[number], outcomes.details[number], outcomes.flags[number] = code, detail, None


class _Patterns:
    """Caches verdicts: users with the same nulls, infinite values and moments share them."""

    def __init__(self, chunk: Chunk, policies: Sequence[Policy], now: datetime) -> None:
        columns = chunk.columns
        self._chunk, self._columns, self._policies, self._now = chunk, columns, policies, now
        self._missing = np.stack([each.nulls + 2 * (each.infinite & ~each.nulls) for each in columns.columns], axis=1)
        self._moments = np.stack([each.moments for each in columns.columns], axis=1)
        self._readings: dict[bytes, list[JudgedFeature]] = {}

    def flags(self, number: int) -> list[Flag]:
        """The flags on the timing of a user's values. Raises as `require_usable` does."""
        pattern = self._missing[number].tobytes() + self._moments[number].tobytes()
        if pattern not in self._readings:
            self._readings[pattern] = self._columns.row(number).judged(self._policies, self._now)
        readings = require_usable(self._chunk.keys, self._chunk.entity(number), self._readings[pattern])
        return [timing(reading) for reading in readings]


def moments_text(columns: StoredColumns) -> arrow.Array:
    """For each user the oldest moment of each view with a row of it, as JSON; each distinct text is made once.

    Given features, whose rows are of the moment that is scored, are left out.
    """
    views = {view: moments for view, moments in columns.oldest_moments().items() if view}
    groups = np.zeros(len(columns), dtype=np.int64)
    for moments in views.values():
        distinct, codes = np.unique(moments, return_inverse=True)
        groups = np.unique(groups * len(distinct) + codes, return_inverse=True)[1]  # renumbered from 0
    _, firsts = np.unique(groups, return_index=True)
    texts = [_json({view: moments[first] for view, moments in views.items()}) for first in firsts]
    return arrow.array(texts, arrow.large_string()).take(arrow.array(groups))


def _json(moments: Mapping[str, Any]) -> str:
    known = {view: moment.item().replace(tzinfo=UTC) for view, moment in moments.items() if not np.isnat(moment)}
    return json.dumps({view: moment.isoformat().replace("+00:00", "Z") for view, moment in known.items()})


def refusals(outcomes: Outcomes) -> dict[str, int]:
    """The number of users for each error code."""
    codes, counts = np.unique([code for code in outcomes.codes if code], return_counts=True)
    return dict(zip(codes.tolist(), counts.tolist(), strict=True))
