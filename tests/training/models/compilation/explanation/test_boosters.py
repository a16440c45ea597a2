"""Contributions of LightGBM, XGBoost and CatBoost beside those of the libraries, which are path-dependent TreeSHAP."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.kits.estimators.boosters import (
    FEATURES,
    LABELS,
    NOISY,
    NUMBER,
    TWO,
    catboost,
    fitted,
    lightgbm,
    name,
    xgboost,
)
from training.models.compilation.compile import compile_model
from training.models.compilation.explanation.explain import arrays_of, explainer_of
from training.models.fitting.reproducible import make_reproducible

SOME = FEATURES.iloc[:200]
"""With gaps, zeros and large numbers."""


def by_lightgbm(model: Any, rows: pd.DataFrame) -> Any:
    """Its random forests give the sums over all trees, though they predict the mean."""
    trees = model.booster_.num_trees() if model.get_params()["boosting_type"] == "rf" else 1
    return model.predict(rows, pred_contrib=True) / trees


def by_xgboost(model: Any, rows: pd.DataFrame) -> Any:
    from xgboost import DMatrix

    return model.get_booster().predict(DMatrix(rows, missing=model.missing), pred_contribs=True)


def by_catboost(model: Any, rows: pd.DataFrame) -> Any:
    from catboost import Pool

    return model.get_feature_importance(Pool(rows), type="ShapValues")


def ours(model: Any, labels: str, rows: pd.DataFrame, trained: pd.DataFrame = FEATURES) -> Any:
    """Contributions and, in the last column, the base."""
    compiled = compile_model(model, trained, TWO if labels == "two" else NUMBER)
    explained = explainer_of(model, trained, compiled.runtime).explain(arrays_of(rows))
    return np.array([[*each.contributions.values(), each.base] for each in explained])


CASES = [
    (lightgbm, by_lightgbm, "two", {}, 1e-9),
    (lightgbm, by_lightgbm, "number", {}, 1e-9),
    (lightgbm, by_lightgbm, "number", {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}, 1e-9),
    (lightgbm, by_lightgbm, "two", {"num_leaves": 200, "min_child_samples": 3}, 1e-9),
    (lightgbm, by_lightgbm, "counts", {"objective": "poisson"}, 1e-9),
    (xgboost, by_xgboost, "two", {}, 1e-5),
    (xgboost, by_xgboost, "number", {"max_depth": 9}, 1e-4),
    (xgboost, by_xgboost, "counts", {"objective": "count:poisson"}, 1e-5),
]
CASES_CATBOOST = [
    (catboost, by_catboost, "two", {}, 1e-9),
    (catboost, by_catboost, "number", {"depth": 4}, 1e-9),
]


@pytest.mark.parametrize(
    ("library", "its_own", "labels", "options", "difference"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.soak) for case in CASES_CATBOOST)],
    ids=name,
)
def test_the_contributions_are_those_of_the_library(
    library: Any, its_own: Any, labels: str, options: Any, difference: float
) -> None:
    model = fitted(library(labels, **options), labels)
    np.testing.assert_allclose(ours(model, labels, SOME), its_own(model, SOME), atol=difference, rtol=0)
    assert len(LABELS[labels]) == len(FEATURES)


@pytest.mark.soak
@pytest.mark.parametrize(("labels", "policy"), [("number", "Lossguide"), ("two", "Depthwise")])
def test_trees_of_catboost_that_are_not_symmetric_add_up_too(labels: str, policy: str) -> None:
    """CatBoost's own values of such trees do not add up to its prediction."""
    model = fitted(catboost(labels, grow_policy=policy), labels)
    raw = model.predict(SOME, prediction_type="RawFormulaVal") if labels == "two" else model.predict(SOME)
    np.testing.assert_allclose(ours(model, labels, SOME).sum(axis=1), raw, atol=1e-9)


def test_splits_of_lightgbm_by_categories_are_the_features_own() -> None:
    codes = FEATURES.assign(steps=np.random.default_rng(2).integers(0, 40, len(FEATURES)).astype(float))
    model = make_reproducible(lightgbm("number", categorical_feature=[2], min_data_per_group=5, cat_smooth=1))
    with pytest.warns(UserWarning, match="categorical_feature"):
        model.fit(codes, NOISY + codes["steps"] % 3 * 2)
    some = codes.iloc[:100]
    np.testing.assert_allclose(ours(model, "number", some, codes), by_lightgbm(model, some), atol=1e-9)
