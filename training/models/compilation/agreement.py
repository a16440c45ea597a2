"""A compiled model and its estimator -> Agreement: whether both give the same predictions and answers."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from asof.inference.runtime import Runtime
from asof.targets import TOLERANCE, Output
from training.metrics.classification import Floats
from training.one_thread import one_thread

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

BATCH_ROWS = 4096


@dataclass(frozen=True)
class Agreement:
    """Number of rows, largest difference (`Output.differences`), and number of answers that differ."""

    rows: int
    largest_difference: float
    flipped: int

    @property
    def holds(self) -> bool:
        return self.largest_difference <= TOLERANCE and not self.flipped  # false for NaN, too

    @property
    def figures(self) -> dict[str, float]:
        """The fields as figures of a criterion."""
        return {name: float(value) for name, value in asdict(self).items()}

    def __str__(self) -> str:
        return f"{self.rows} rows, the largest difference {self.largest_difference:.1e}, {self.flipped} labels flipped"


def agreement(runtime: Runtime, estimator: "BaseEstimator", features: pd.DataFrame, output: Output) -> Agreement:
    """Compares both on every row; `features` is the model's input, shape (rows, columns)."""
    with one_thread():
        expected = output.of_estimator(estimator, features)
    compiled = run(runtime, features)
    largest = float(output.differences(compiled, expected).max())
    return Agreement(len(features), largest, output.flipped(compiled, expected))


def run(runtime: Runtime, features: pd.DataFrame) -> Floats:
    """The compiled model's predictions."""
    parts = (features.iloc[start : start + BATCH_ROWS] for start in range(0, len(features), BATCH_ROWS))
    return np.concatenate(
        [np.array(runtime.predict({str(name): part[name].to_numpy() for name in part})) for part in parts]
    )
