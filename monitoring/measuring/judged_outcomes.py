"""Mature predictions as arrays: labels encoded as in training, and what was predicted."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from asof.targets import Multiclass
from asof.use_case import UseCase
from training.metrics.classification import Floats
from training.targets import rules_of
from training.targets.rules import Labels, Rules

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class JudgedOutcomes:
    """Predictions of n rows with their outcomes, none of which is missing; `answers` are their rows."""

    rules: Rules
    labels: Labels
    predictions: Floats
    answers: "pd.DataFrame"

    @classmethod
    def of(cls, use_case: UseCase, mature: "pd.DataFrame") -> Self:
        """The mature rows, without those of erased entities: their predictions are gone."""
        rules, predictions = rules_of(use_case.target), predictions_of(use_case, mature)
        known = ~np.isnan(predictions.reshape(len(mature), -1)).any(axis=1) if len(mature) else np.empty(0, dtype=bool)
        answers = mature.iloc[np.flatnonzero(known)].reset_index(drop=True)
        labels = rules.encode(answers["outcome"]) if len(answers) else np.empty(0)
        return cls(rules, labels, predictions[known], answers)


def predictions_of(use_case: UseCase, frame: "pd.DataFrame") -> Floats:
    """Those of joined outcomes, shape (rows,), or (rows, classes) of several classes; NaN where there are none."""
    if not isinstance(use_case.target, Multiclass):
        scores: Floats = frame["score"].to_numpy(dtype=np.float64)
        return scores
    gone: list[Any] = [float("nan")] * len(use_case.target.classes)
    return np.array([each if isinstance(each, list) else gone for each in frame["scores"]], dtype=np.float64)
