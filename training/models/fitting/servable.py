"""Checks that the service could serve an estimator: on a sample before the fit, and on the fitted model."""

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

SAMPLE_ROWS_PER_CLASS = 30


def check_on_sample(estimator: Any, features: pd.DataFrame, labels: Labels) -> None:
    """Fits the estimator, or the base estimator of a search, on a few rows, and checks it as `check_fitted` does.

    Raises ModelError also for what is no classifier. A fit that fails is ignored: the sample may be too small for it.
    """
    from sklearn.base import clone

    model = clone(_classifier(estimator))
    _check_types(model)
    rows = np.concatenate([np.flatnonzero(labels == each)[:SAMPLE_ROWS_PER_CLASS] for each in (0, 1)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            check_fitted(model.fit(features.iloc[rows], labels[rows]), features.iloc[rows])
        except AsOfError:
            raise
        except Exception:  # the estimator may be of any library
            return


def check_fitted(model: "ClassifierMixin", features: pd.DataFrame) -> None:
    """Raises ModelError as `probabilities` does, UntrustedModel where the model holds a type that is not trusted."""
    probabilities(model, features)
    _check_types(model)


def probabilities(model: "ClassifierMixin", features: pd.DataFrame) -> Floats:
    """The probability of class 1 for each row, shape (rows,).

    Raises ModelError where the model has no `predict_proba`, has other classes than 0 and 1, or gives values outside of
    0 to 1.
    """
    if not hasattr(model, "predict_proba"):
        raise ModelError(
            f"{_class_name(model)} gives no probabilities (predict_proba): wrap it in CalibratedClassifierCV."
        )
    if (classes := np.asarray(model.classes_).tolist()) != [0, 1]:
        raise ModelError(f"{_class_name(model)} has the classes {classes}: fit it on the labels 0 and 1.")
    positive = np.asarray(model.predict_proba(features), dtype=np.float64)[:, 1]
    if invalid := int((~((positive >= 0) & (positive <= 1 + 1e-9))).sum()):  # a NaN is invalid, too
        raise ModelError(
            f"{_class_name(model)} gives {invalid} of {positive.size} rows no probability between 0 and 1: "
            "scale its columns, or use another estimator."
        )
    return positive


def _classifier(estimator: Any) -> "ClassifierMixin":
    """The estimator, or the base estimator of a search. Raises ModelError where that is no classifier."""
    from sklearn.base import BaseEstimator, is_classifier

    if not isinstance(estimator, BaseEstimator):
        raise ModelError(
            f"build gives {estimator!r}, which is no estimator of scikit-learn: see the use case's estimators.py."
        )
    parts = estimator.get_params(deep=False)
    base = parts["estimator"] if {"estimator", "refit"} <= parts.keys() else estimator
    if not is_classifier(base):
        raise ModelError(f"{_class_name(base)} is no classifier: use one with predict_proba.")
    return base


def _check_types(model: "ClassifierMixin") -> None:
    if types := _untrusted(model):
        raise UntrustedModel(
            f"{_class_name(model)} holds {', '.join(_with_steps(model, types))}, which the service does not load: use "
            "other estimators of scikit-learn, or add the type to asof/trust/trusted_types.py after a review."
        )


def _class_name(model: Any) -> str:
    """The name of its class; of a pipeline, that of the last step."""
    steps = getattr(model, "steps", None)
    last = steps[-1][1] if steps else model
    return last if isinstance(last, str) else type(last).__name__


def _untrusted(model: Any) -> list[str]:
    import skops.io

    try:
        return untrusted_types(skops.io.dumps(model))
    except Exception as error:  # skops raises many types, of its own and of Python's
        raise UntrustedModel(
            f"{_class_name(model)} cannot be saved with skops ({error}): use another estimator."
        ) from error


def _with_steps(model: Any, types: list[str]) -> Iterator[str]:
    """Each type with the steps of the pipeline that hold it."""
    types_of_step = {f"step {name!r}": _untrusted(step) for name, step in getattr(model, "steps", ())}
    for each in types:
        steps = [step for step, held in types_of_step.items() if each in held]
        yield f"{each} ({', '.join(steps)})" if steps else each
