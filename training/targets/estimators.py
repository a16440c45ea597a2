"""A fitted scikit-learn estimator -> its predictions, checked; with the kind of estimator that a target needs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import ModelError
from training.metrics.classification import Floats

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.base import BaseEstimator

SAMPLE_ROWS_PER_CLASS = 30
SUM_TOLERANCE = 1e-6
QUICK = {
    "max_iter": 60,
    "max_leaf_nodes": 8,
    "early_stopping": False,
    "categorical_features": "from_dtype",
    "random_state": 0,
}
"""Of a quick model of raw columns."""


def class_name(model: Any) -> str:
    """The name of its class; of a pipeline, that of the last step."""
    if steps := getattr(model, "steps", None):
        return class_name(steps[-1][1])
    return model if isinstance(model, str) else type(model).__name__


def check_classifier(estimator: "BaseEstimator", name: str) -> None:
    """Raises ModelError for what is no classifier."""
    from sklearn.base import is_classifier

    if not is_classifier(estimator):
        raise ModelError(f"{name} is no classifier: use one with predict_proba.")


def check_regressor(estimator: "BaseEstimator", name: str) -> None:
    """Raises ModelError for what is no regressor."""
    from sklearn.base import is_regressor

    if not is_regressor(estimator):
        raise ModelError(f"{name} is no regressor: use one, such as Ridge or HistGradientBoostingRegressor.")


def probabilities(model: Any, features: "pd.DataFrame", codes: Sequence[str]) -> Floats:
    """The probability of each class, shape (rows, classes).

    Raises ModelError where the model has no `predict_proba`, has other classes than the codes, or gives values outside
    of 0 to 1.
    """
    name = class_name(model)
    if not hasattr(model, "predict_proba"):
        instead = "set voting='soft'" if name == "VotingClassifier" else "wrap it in CalibratedClassifierCV"
        raise ModelError(f"{name} gives no probabilities (predict_proba): {instead}.")
    if (classes := np.asarray(model.classes_).tolist()) != list(map(int, codes)):
        listed = " and ".join(filter(None, (", ".join(codes[:-1]), codes[-1])))
        raise ModelError(f"{name} has the classes {classes}: fit it on the labels {listed}.")
    values = np.asarray(model.predict_proba(features), dtype=np.float64)
    valid = ((values >= 0) & (values <= 1 + 1e-9)).all(axis=1)  # a NaN is invalid, too
    if invalid := int((~valid).sum()):
        raise ModelError(
            f"{name} gives {invalid} of {len(values)} rows no probability between 0 and 1: "
            "scale its columns, or use another estimator."
        )
    return values


def rows_of_each_class(labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """The numbers of the first rows of each class."""
    return np.concatenate([np.flatnonzero(labels == code)[:SAMPLE_ROWS_PER_CLASS] for code in range(classes)])
