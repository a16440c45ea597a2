"""A compiled model and its estimator -> Agreement: whether both give the same probabilities and labels."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from asof.inference.runtime import Runtime
from asof.trust.golden_rows import TOLERANCE
from training.metrics.classification import Floats
from training.one_thread import one_thread

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

BATCH_ROWS = 4096


@dataclass(frozen=True)
class Agreement:
    """Number of rows, largest difference of probability, and number of labels that differ at the threshold."""

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


def agreement(runtime: Runtime, estimator: "ClassifierMixin", features: pd.DataFrame, *, threshold: float) -> Agreement:
    """Compares both on every row; `features` is the model's input, shape (rows, columns)."""
    with one_thread():
        expected: Floats = estimator.predict_proba(features)[:, 1]
    compiled = run(runtime, features)
    flipped = int(((expected >= threshold) != (compiled >= threshold)).sum())
    return Agreement(len(features), float(np.abs(expected - compiled).max()), flipped)


def run(runtime: Runtime, features: pd.DataFrame) -> Floats:
    """The compiled model's probabilities, shape (rows,)."""
    parts = (features.iloc[start : start + BATCH_ROWS] for start in range(0, len(features), BATCH_ROWS))
    return np.concatenate(
        [runtime.probabilities({str(name): part[name].to_numpy() for name in part}) for part in parts]
    )
