"""A model beside its graph at values that no row of training holds: what both must answer alike, or refuse alike.

A graph takes what scikit-learn's checks refuse, such as an infinite number, and gives some answer. So scikit-learn is
asked first, with one odd value in an else good row. What it refuses is found out here and goes with the graph as its
InputLimits; what it answers, the graph must answer, too.
"""

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from asof.errors import NotCompiled
from asof.inference.runtime import InputLimits, Runtime
from asof.trust.golden_rows import TOLERANCE

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

UNSEEN = "\x00 never seen"
"""A category that no model was trained on."""
TOO_LARGE = ((1e39, float(np.finfo(np.float32).max)), (np.inf, float(np.finfo(np.float64).max)))
"""A number, and the greatest one that a column takes which refuses it: some estimators compute in single precision."""


def limits_of(model: "ClassifierMixin", good: pd.DataFrame) -> InputLimits:
    """What the model refuses; `good` is one row that it takes.

    Raises NotCompiled where it refuses a category that it was not trained on: a graph knows none that it must refuse.
    """
    numbers = [str(name) for name in good if good[name].dtype != object]
    texts = [str(name) for name in good if name not in numbers]
    if strict := _refusing(model, good, texts, UNSEEN):
        raise NotCompiled(f"it refuses new categories of {', '.join(strict)}: see OneHotEncoder's handle_unknown")
    largest: dict[str, float] = {}
    for value, limit in reversed(TOO_LARGE):
        largest |= dict.fromkeys(_refusing(model, good, numbers, value), limit)
    missing = [*_refusing(model, good, numbers, np.nan), *_refusing(model, good, texts, None)]
    return InputLimits(missing, largest)


def compare_odd(model: "ClassifierMixin", runtime: Runtime, good: pd.DataFrame) -> None:
    """Raises NotCompiled where both do not answer, or refuse, the same odd value of a column."""
    for name, value, row in _odd_rows(good):
        told, compiled = _answer(model, row), _compiled_answer(runtime, row)
        if not _same(told, compiled):
            raise NotCompiled(f"where {name} is {value!r}, scikit-learn gives {told} and the graph {compiled}")


def _same(told: float | None, compiled: float | None) -> bool:
    if told is None or compiled is None:
        return told is compiled
    return abs(told - compiled) <= TOLERANCE


def _odd_rows(good: pd.DataFrame) -> Iterator[tuple[str, Any, pd.DataFrame]]:
    for name in map(str, good):
        numeric = good[name].dtype != object
        for value in (np.nan, -1e39, 1e39, -np.inf, np.inf) if numeric else (UNSEEN, None):
            yield name, value, _with(good, [name], value)


def _refusing(model: "ClassifierMixin", good: pd.DataFrame, names: list[str], value: Any) -> list[str]:
    """The columns in which the model refuses the value: mostly all or none, so these are asked about first."""
    if not names or _answer(model, _with(good, names, value)) is not None:
        return []
    return [name for name in names if _answer(model, _with(good, [name], value)) is None]


def _with(good: pd.DataFrame, names: list[str], value: Any) -> pd.DataFrame:
    return good.assign(**{name: pd.Series([value], index=good.index, dtype=good[name].dtype) for name in names})


def _answer(model: "ClassifierMixin", row: pd.DataFrame) -> float | None:
    """The probability of one row; None where the model refuses it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that are too large; the answer tells
        try:
            return float(model.predict_proba(row)[0, 1])
        except (ValueError, TypeError):
            return None


def _compiled_answer(runtime: Runtime, row: pd.DataFrame) -> float | None:
    try:
        return runtime.probabilities({str(name): row[name].to_numpy() for name in row})[0]
    except (ValueError, TypeError):
        return None
