"""A chunk of users and a model -> Judged: a probability for each, or the code and the words of why there is none.

The verdicts are those of the service: rows that are good are told all at once, every other goes through
`asof.inference.verdicts.require_usable`, with the moment of the run for now.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as arrow
from numpy.typing import NDArray

from asof.errors import AsOfError, EntityNotFound, MissingFeatures, StaleFeatures
from asof.features.feature_contract import input_arrays
from asof.inference.ranges import Flag, TrainingRanges
from asof.inference.served_model import ServedModel
from asof.inference.stored_columns import StoredColumns
from asof.inference.verdicts import JudgedFeature, Policy, judge, require_usable, timing
from training.scoring.reading import Chunk

FAILED = AsOfError.code
"""The code of a row at which the model fails, as the service answers it."""
REFUSALS = (EntityNotFound, MissingFeatures, StaleFeatures)
NO_FLAGS = "[]"

Texts = list[str | None]
Ask = Callable[[NDArray[np.intp]], list[float]]
"""The model's probabilities for the rows of these numbers."""


@dataclass(frozen=True)
class Judged:
    """For n users: probabilities (NaN where there is a code), codes with their details, flags as JSON (None where
    there is a code).
    """

    probabilities: NDArray[np.float64]
    codes: Texts
    details: Texts
    flags: Texts


def judge_chunk(chunk: Chunk, model: ServedModel, policies: Sequence[Policy], now: datetime) -> Judged:
    """One row that the model fails at spoils only itself."""
    count = len(chunk)
    judged = Judged(np.full(count, np.nan), [None] * count, [None] * count, [NO_FLAGS] * count)
    trained = TrainingRanges(model.facts)
    good = chunk.found.all_present(policies, now) & trained.covers_each(chunk.found)
    patterns = _Patterns(chunk.found, policies, now)
    for number in np.flatnonzero(~good).tolist():
        try:
            untimely = patterns.flags(chunk.entities[number].as_py(), number)
            judged.flags[number] = json.dumps([*untimely, *trained.flags(chunk.found.row(number))])
            good[number] = True
        except REFUSALS as error:
            _refuse(judged, number, error.code, str(error))
    _ask(judged, np.flatnonzero(good), lambda which: _probabilities(model, chunk.found, which))
    return judged


def _refuse(judged: Judged, number: int, code: str, detail: str) -> None:
    judged.codes[number], judged.details[number], judged.flags[number] = code, detail, None


def _probabilities(model: ServedModel, found: StoredColumns, which: NDArray[np.intp]) -> list[float]:
    return model.runtime.probabilities(input_arrays(found.values(which), model.facts.contract, model.derived))


def _ask(judged: Judged, which: NDArray[np.intp], ask: Ask) -> None:
    """All at once; where that fails, one half after the other, until the row that is to blame stands alone."""
    if not which.size:
        return
    try:
        told = np.asarray(ask(which), dtype=np.float64)
    except Exception as error:  # the model may raise whatever it likes
        if which.size == 1:
            _refuse(judged, int(which[0]), FAILED, f"The model failed ({type(error).__name__}): {error}")
            return
        for half in np.array_split(which, 2):
            _ask(judged, half, ask)
        return
    within = (told >= 0) & (told <= 1)  # nor is a NaN
    judged.probabilities[which[within]] = told[within]
    for number, value in zip(which[~within].tolist(), told[~within].tolist(), strict=True):
        _refuse(judged, number, FAILED, f"The model returned {value}, which is not a probability.")


class _Patterns:
    """Users whose nulls, infinite values and moments are alike have the same verdicts: they are judged once."""

    def __init__(self, found: StoredColumns, policies: Sequence[Policy], now: datetime) -> None:
        self._found, self._policies, self._now = found, policies, now
        self._missing = np.stack([each.nulls + 2 * (each.infinite & ~each.nulls) for each in found.columns], axis=1)
        self._moments = np.stack([each.moments for each in found.columns], axis=1)
        self._readings: dict[bytes, list[JudgedFeature]] = {}

    def flags(self, entity: str, number: int) -> list[Flag]:
        """The flags of a user whom the model may see. Raises as `require_usable` does."""
        pattern = self._missing[number].tobytes() + self._moments[number].tobytes()
        if pattern not in self._readings:
            row = zip(self._found.row(number), self._policies, strict=True)
            self._readings[pattern] = [judge(found, policy, self._now) for found, policy in row]
        return [timing(reading) for reading in require_usable(entity, self._readings[pattern])]


def moments_text(found: StoredColumns) -> arrow.Array:
    """For each user, as JSON, the oldest moment of each view that has a row of it; most users share theirs."""
    views = found.oldest_moments()
    places = np.zeros(len(found), dtype=np.int64)
    for moments in views.values():
        kinds, place = np.unique(moments, return_inverse=True)
        places = np.unique(places * len(kinds) + place, return_inverse=True)[1]  # small numbers again
    _, firsts = np.unique(places, return_index=True)
    texts = [_told({view: moments[first] for view, moments in views.items()}) for first in firsts]
    return arrow.array(texts, arrow.large_string()).take(arrow.array(places))


def _told(moments: Mapping[str, Any]) -> str:
    known = {view: moment.item().replace(tzinfo=UTC) for view, moment in moments.items() if not np.isnat(moment)}
    return json.dumps({view: moment.isoformat().replace("+00:00", "Z") for view, moment in known.items()})


def refusals(judged: Judged) -> dict[str, int]:
    """How many users got each code."""
    codes, counts = np.unique([code for code in judged.codes if code], return_counts=True)
    return dict(zip(codes.tolist(), counts.tolist(), strict=True))
