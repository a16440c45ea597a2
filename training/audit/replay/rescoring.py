"""Kept values -> the predictions that a model makes of them now, compared bit by bit.

The last bits of a sum or an exponential depend on how many rows are computed at once, as vectorised code treats the
last few rows otherwise. The service computes the requests of a moment together, and the ledger does not know how many.
So each row is computed among all others, then alone, then beside copies of itself: it is the same if one of these has
the same bits.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from asof.inference.served_model import ServedModel, scored
from asof.ledger.reading.kept_answer import KeptAnswer
from asof.targets import Prediction

COPIES = (1, 2, 3, 4, 5, 6, 7, 8)
"""Vector units have up to eight numbers."""

Result = Prediction | Exception


def rescore(model: ServedModel, answers: Sequence[KeptAnswer]) -> list[Result]:
    """A prediction or an exception for each answer: its own where it comes out the same."""
    with _as_served(model):
        results = _scored(model, [_values(each) for each in answers])
        return [
            result if same_bits(result, answer.prediction) else _otherwise(model, answer, result)
            for answer, result in zip(answers, results, strict=True)
        ]


def predict_kept(model: ServedModel, answers: Sequence[KeptAnswer]) -> list[Result]:
    """What a model says of the values of answers that another one gave."""
    with _as_served(model):
        return _scored(model, [_values(each) for each in answers])


def same_bits(ours: Any, theirs: Any) -> bool:
    """Whether two predictions are the same to the last bit."""
    if isinstance(ours, Exception) or theirs is None:
        return False
    return np.asarray(ours, dtype=np.float64).tobytes() == np.asarray(theirs, dtype=np.float64).tobytes()


def _otherwise(model: ServedModel, answer: KeptAnswer, first: Result) -> Result:
    values = _values(answer)
    for count in COPIES:
        for result in _scored(model, [values] * count):
            if same_bits(result, answer.prediction):
                return result
    return first


def _scored(model: ServedModel, rows: Sequence[dict[str, Any]]) -> list[Result]:
    names = model.facts.contract.names
    columns = {name: np.array([row[name] for row in rows] + [None], dtype=object)[:-1] for name in names}
    return scored(model, columns, len(rows))


def _values(answer: KeptAnswer) -> dict[str, Any]:
    return {each.feature: each.value for each in answer.values}


def _as_served(model: ServedModel) -> Any:
    """scikit-learn in one thread: the order of its sums depends on their number."""
    if model.runtime.name != "scikit-learn":
        return nullcontext()
    from training.one_thread import one_thread

    return one_thread()
