"""A compiled model beside the estimator that it was made of -> Agreement: whether both say the same of every row."""

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

AT_ONCE = 4096
"""Rows of one call."""


@dataclass(frozen=True)
class Agreement:
    """Of so many rows: the largest difference of probability, and the labels that differ at the threshold."""

    rows: int
    largest_difference: float
    flipped: int

    @property
    def holds(self) -> bool:
        return self.largest_difference <= TOLERANCE and not self.flipped  # a NaN is no agreement, either

    @property
    def figures(self) -> dict[str, float]:
        """The same as a criterion's figures."""
        return {name: float(value) for name, value in asdict(self).items()}

    def __str__(self) -> str:
        return f"{self.rows} rows, the largest difference {self.largest_difference:.1e}, {self.flipped} labels flipped"


def agreement(runtime: Runtime, estimator: "ClassifierMixin", features: pd.DataFrame, *, threshold: float) -> Agreement:
    """Asks both for every row; `features` is the model's input, shape (rows, columns)."""
    with one_thread():
        told: Floats = estimator.predict_proba(features)[:, 1]
    compiled = run(runtime, features)
    flipped = int(((told >= threshold) != (compiled >= threshold)).sum())
    return Agreement(len(features), float(np.abs(told - compiled).max()), flipped)


def run(runtime: Runtime, features: pd.DataFrame) -> Floats:
    """The probability of each row, shape (rows,)."""
    parts = (features.iloc[start : start + AT_ONCE] for start in range(0, len(features), AT_ONCE))
    return np.concatenate(
        [runtime.probabilities({str(name): part[name].to_numpy() for name in part}) for part in parts]
    )
