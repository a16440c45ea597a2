"""An estimator -> ModelError where the service could not serve it: seen on a few rows before the fit, and after it."""

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from asof.errors import AsOfError, ModelError, UntrustedModel
from asof.trust.trusted_types import untrusted_types
from training.metrics.classification import Floats, Labels

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

TRIAL_ROWS = 30
"""Rows of each class that an estimator is tried on."""


def try_out(estimator: Any, features: pd.DataFrame, labels: Labels) -> None:
    """Raises ModelError for what is no classifier, for types that are not trusted, and for what a few rows show.

    A model is fitted on them; of a search, its base estimator. Where that fails nothing is said: few rows may be too
    few, and the fit itself tells.
    """
    from sklearn.base import clone

    model = clone(_classifier(estimator))
    _check_types(model)
    rows = np.concatenate([np.flatnonzero(labels == each)[:TRIAL_ROWS] for each in (0, 1)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            check_fitted(model.fit(features.iloc[rows], labels[rows]), features.iloc[rows])
        except AsOfError:
            raise
        except Exception:  # of whatever library
            return


def check_fitted(model: "ClassifierMixin", features: pd.DataFrame) -> None:
    """Raises ModelError where it gives no probabilities of rows such as these, or is not made of trusted types."""
    probabilities(model, features)
    _check_types(model)


def probabilities(model: "ClassifierMixin", features: pd.DataFrame) -> Floats:
    """The probability of class 1 of each row, shape (rows,).

    Raises ModelError where the model gives none, or something that is no probability.
    """
    if not hasattr(model, "predict_proba"):
        raise ModelError(f"{_kind(model)} gives no probabilities (predict_proba): wrap it in CalibratedClassifierCV.")
    if (classes := np.asarray(model.classes_).tolist()) != [0, 1]:
        raise ModelError(f"{_kind(model)} has the classes {classes}: it must keep the labels 0 and 1.")
    found = np.asarray(model.predict_proba(features), dtype=np.float64)[:, 1]
    if wrong := int((~((found >= 0) & (found <= 1 + 1e-9))).sum()):  # not >= 0 is a NaN
        raise ModelError(
            f"{_kind(model)} gives {wrong} of {found.size} rows no probability between 0 and 1: "
            "scale its columns, or take another."
        )
    return found


def _classifier(estimator: Any) -> "ClassifierMixin":
    """The estimator itself, or what a search is to fit. Raises ModelError where that is no classifier."""
    from sklearn.base import BaseEstimator, is_classifier

    if not isinstance(estimator, BaseEstimator):
        raise ModelError(f"build gives {estimator!r}, which is no estimator of scikit-learn: see estimators.py.")
    parts = estimator.get_params(deep=False)
    searched = parts["estimator"] if {"estimator", "refit"} <= parts.keys() else estimator
    if not is_classifier(searched):
        raise ModelError(f"{_kind(searched)} is no classifier: take one that has predict_proba.")
    return searched


def _check_types(model: "ClassifierMixin") -> None:
    if held := _untrusted(model):
        raise UntrustedModel(
            f"{_kind(model)} holds {', '.join(_placed(model, held))}, which the service does not load: take other "
            "estimators of scikit-learn, or add the type to asof/trust/trusted_types.py after a review."
        )


def _kind(model: Any) -> str:
    """Its class; of a pipeline that of its last step."""
    steps = getattr(model, "steps", None)
    last = steps[-1][1] if steps else model
    return last if isinstance(last, str) else type(last).__name__


def _untrusted(model: Any) -> list[str]:
    import skops.io

    try:
        return untrusted_types(skops.io.dumps(model))
    except Exception as error:  # skops raises many types, of its own and of Python's
        raise UntrustedModel(f"{_kind(model)} cannot be saved with skops ({error}): take another.") from error


def _placed(model: Any, names: list[str]) -> Iterator[str]:
    """Each type with the step of the pipeline that holds it."""
    held = {f"step {name!r}": _untrusted(step) for name, step in getattr(model, "steps", ())}
    for name in names:
        places = [step for step, found in held.items() if name in found]
        yield f"{name} ({', '.join(places)})" if places else name
