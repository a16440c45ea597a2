"""Checks that the service could serve an estimator: on a sample before the fit, and on the fitted model."""

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from asof.errors import AsOfError, ModelError, NotCompiled, UntrustedModel
from asof.trust.trusted_types import import_skops, untrusted_types
from training.models.compilation.compile import compile_model
from training.models.fitting.image_packages import packages_not_in_image
from training.targets.estimators import class_name
from training.targets.rules import Labels, Rules

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def check_on_sample(rules: Rules, estimator: Any, features: pd.DataFrame, labels: Labels) -> None:
    """Fits the estimator, or the base estimator of a search, on a few rows, and checks it as `check_fitted` does.

    Raises ModelError also for another kind of estimator than the target needs, and where the service's image could
    load neither the estimator nor a compiled one. A fit that fails is ignored: the sample may be too small for it.
    """
    from sklearn.base import clone

    model = clone(_base_estimator(rules, estimator))
    _check_types(model)
    rows = rules.sample(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            check_fitted(rules, model.fit(features.iloc[rows], labels[rows]), features.iloc[rows])
            _check_image(rules, model, features.iloc[rows], labels[rows])
        except AsOfError:
            raise
        except Exception:  # the estimator may be of any library
            return


def check_fitted(rules: Rules, model: "BaseEstimator", features: pd.DataFrame) -> None:
    """Raises ModelError as `Rules.predictions` does, UntrustedModel where it holds a type that is not trusted."""
    rules.predictions(model, features)
    _check_types(model)


def _base_estimator(rules: Rules, estimator: Any) -> "BaseEstimator":
    """The estimator, or the base estimator of a search. Raises ModelError where that is none for the target."""
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):  # CatBoost's are no BaseEstimator
        raise ModelError(
            f"build gives {estimator!r}, which is no estimator of scikit-learn: see the use case's estimators.py."
        )
    parts = estimator.get_params(deep=False)
    base: BaseEstimator = parts["estimator"] if {"estimator", "refit"} <= parts.keys() else estimator
    rules.check_estimator(base, class_name(base))
    return base


def _check_image(rules: Rules, model: "BaseEstimator", features: pd.DataFrame, labels: Labels) -> None:
    packages = packages_not_in_image(import_skops().dumps(model))
    if not packages:
        return
    constant = np.broadcast_to(rules.constant(labels), labels.shape[:1])
    try:
        compile_model(model, features, rules.output(labels, lambda: constant))
    except NotCompiled as error:
        raise ModelError(
            f"{class_name(model)} does not compile ({error}), and the service's image has no {', '.join(packages)}: "
            "change the estimator, or add the package to pyproject.toml's dependencies and run `make lock`."
        ) from error


def _check_types(model: "BaseEstimator") -> None:
    if types := _untrusted(model):
        raise UntrustedModel(
            f"{class_name(model)} holds {', '.join(_with_steps(model, types))}, which the service does not load: use "
            "other estimators of scikit-learn, or add the type to asof/trust/trusted_types.py after a review."
        )


def _untrusted(model: Any) -> list[str]:
    try:
        return untrusted_types(import_skops().dumps(model))
    except Exception as error:  # skops raises many types, of its own and of Python's
        raise UntrustedModel(
            f"{class_name(model)} cannot be saved with skops ({error}): use another estimator."
        ) from error


def _with_steps(model: Any, types: list[str]) -> Iterator[str]:
    """Each type with the steps of the pipeline that hold it."""
    types_of_step = {f"step {name!r}": _untrusted(step) for name, step in getattr(model, "steps", ())}
    for each in types:
        steps = [step for step, held in types_of_step.items() if each in held]
        yield f"{each} ({', '.join(steps)})" if steps else each
