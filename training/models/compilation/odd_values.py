"""Missing, infinite and unknown values -> what a model refuses, and whether its graph agrees on the rest.

scikit-learn's checks refuse values, such as infinity, for which a graph gives some number. So scikit-learn predicts
rows with one odd value first. What it refuses goes with the graph as its InputLimits; on the rest both must agree.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from asof.errors import NotCompiled
from asof.inference.runtime import InputLimits, Runtime
from asof.targets import TOLERANCE, Output
from training.metrics.classification import Floats

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

UNSEEN = "\x00 never seen"
"""A category that no model was trained on."""
TOO_LARGE = ((1e39, float(np.finfo(np.float32).max)), (np.inf, float(np.finfo(np.float64).max)))
"""Pairs of a number and of the limit of a column that refuses it; some estimators compute in single precision."""


Predict = Callable[[tuple[str, ...], Any], Floats | None]
"""The prediction of a valid row that has the value in these columns; None where the model refuses it."""


def odd_predictions(model: "BaseEstimator", valid_row: pd.DataFrame, output: Output) -> Predict:
    """Computes each once, as both functions below ask for most of them. `valid_row` is one row that the model takes."""

    @cache
    def predict(names: tuple[str, ...], value: Any) -> Floats | None:
        return _predicted(model, _with(valid_row, names, value), output)

    return predict


def limits_of(predict: Predict, valid_row: pd.DataFrame) -> InputLimits:
    """The values that the model refuses.

    Raises NotCompiled where it refuses unknown categories, which InputLimits cannot express.
    """
    numbers = [str(name) for name in valid_row if valid_row[name].dtype != object]
    texts = [str(name) for name in valid_row if name not in numbers]
    refusing = partial(_refusing, predict)
    if strict := refusing(texts, UNSEEN):
        raise NotCompiled(f"it refuses new categories of {', '.join(strict)}: see OneHotEncoder's handle_unknown")
    largest: dict[str, float] = {}
    negative: dict[str, float] = {}
    for value, limit in reversed(TOO_LARGE):
        largest |= dict.fromkeys(refusing(numbers, value), limit)
        negative |= dict.fromkeys(refusing(numbers, -value), limit)
    least = {name: -negative.get(name, np.inf) for name in numbers if negative.get(name) != largest.get(name)}
    missing = [*refusing(numbers, np.nan), *refusing(texts, None)]
    return InputLimits(missing, largest, least)


def compare_odd(predict: Predict, runtime: Runtime, valid_row: pd.DataFrame, output: Output) -> None:
    """Raises NotCompiled where model and graph differ on an odd value of a column."""
    for name, value in _odd_values(valid_row):
        expected = predict((name,), value)
        compiled = _compiled_prediction(runtime, _with(valid_row, (name,), value))
        if not _same(expected, compiled, output):
            raise NotCompiled(f"where {name} is {value!r}, scikit-learn gives {expected} and the graph {compiled}")


def _same(expected: Floats | None, compiled: Floats | None, output: Output) -> bool:
    if expected is None or compiled is None:
        return expected is compiled
    return bool(output.differences(compiled, expected)[0] <= TOLERANCE)


def _odd_values(valid_row: pd.DataFrame) -> Iterator[tuple[str, Any]]:
    for name in map(str, valid_row):
        numeric = valid_row[name].dtype != object
        for value in (np.nan, -1e39, 1e39, -np.inf, np.inf) if numeric else (UNSEEN, None):
            yield name, value


def _refusing(predict: Predict, names: Sequence[str], value: Any) -> list[str]:
    """The columns in which the model refuses the value; it is usually all or none, so all are tried first."""
    if not names or predict(tuple(names), value) is not None:
        return []
    return [name for name in names if predict((name,), value) is None]


def _with(valid_row: pd.DataFrame, names: Sequence[str], value: Any) -> pd.DataFrame:
    return valid_row.assign(
        **{name: pd.Series([value], index=valid_row.index, dtype=valid_row[name].dtype) for name in names}
    )


def _predicted(model: "BaseEstimator", row: pd.DataFrame, output: Output) -> Floats | None:
    """The prediction of a row; None where the model refuses it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # overflow of large numbers
        try:
            return output.of_estimator(model, row)
        except Exception:  # of any library: CatBoost's errors are no ValueErrors
            return None


def _compiled_prediction(runtime: Runtime, row: pd.DataFrame) -> Floats | None:
    try:
        return np.array(runtime.predict({str(name): row[name].to_numpy() for name in row}))
    except (ValueError, TypeError):
        return None
