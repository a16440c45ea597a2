"""LightGBM, XGBoost and CatBoost as graphs: what each library predicts, or not compiled with a reason."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import StackingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from asof.errors import NotCompiled
from asof.targets import Output
from tests.kits.estimators.boosters import (
    FEATURES,
    NOISY,
    NUMBER,
    ROWS,
    THREE,
    TWO,
    catboost,
    fitted,
    lightgbm,
    name,
    xgboost,
)
from tests.kits.models.training import made_up_set
from training.models.compilation.agreement import run
from training.models.compilation.compile import CompiledModel, compile_model
from training.models.fitting.reproducible import make_reproducible

DOUBLE, SINGLE = 1e-15, 2e-7
"""A few units in the last place: of the exponential in double precision, and in single."""


def compiled(model: Any, labels: str) -> CompiledModel:
    """The graph, which agrees with the model on every row and on odd values, one column at a time."""
    output: dict[str, Output] = {"two": TWO, "three": THREE}
    return compile_model(fitted(model, labels), FEATURES, output.get(labels, NUMBER))


AGREE = [
    *((lightgbm, labels, {}, DOUBLE) for labels in ("two", "three")),
    (lightgbm, "number", {}, 0.0),
    (lightgbm, "number", {"zero_as_missing": True}, 0.0),
    (lightgbm, "number", {"use_missing": False}, 0.0),
    (lightgbm, "number", {"min_child_samples": ROWS}, 0.0),
    (lightgbm, "three", {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}, DOUBLE),
    (lightgbm, "two", {"boosting_type": "dart", "is_unbalance": True}, DOUBLE),
    (lightgbm, "number", {"objective": "quantile", "extra_trees": True}, 0.0),
    (lightgbm, "counts", {"objective": "poisson"}, DOUBLE),
    *((xgboost, labels, {}, SINGLE) for labels in ("two", "three")),
    (xgboost, "number", {}, 0.0),
    (xgboost, "number", {"missing": 0.0}, 0.0),
    (xgboost, "number", {"tree_method": "exact", "gamma": 5, "base_score": 0.3}, 0.0),
    (xgboost, "two", {"base_score": 0.3, "num_parallel_tree": 2, "subsample": 0.5}, SINGLE),
    (xgboost, "number", {"grow_policy": "lossguide", "max_leaves": 60, "objective": "reg:absoluteerror"}, 0.0),
    *((xgboost, "counts", {"objective": objective}, SINGLE) for objective in ("count:poisson", "reg:gamma")),
]
AGREE_CATBOOST = [
    *((catboost, labels, {}, DOUBLE) for labels in ("two", "three", "number")),
    (catboost, "two", {"nan_mode": "Max", "depth": 9, "auto_class_weights": "Balanced"}, DOUBLE),
    (catboost, "three", {"grow_policy": "Depthwise"}, DOUBLE),
    (catboost, "number", {"grow_policy": "Lossguide", "max_leaves": 20, "nan_mode": "Max"}, DOUBLE),
    (catboost, "number", {"loss_function": "Quantile:alpha=0.9"}, DOUBLE),
    (catboost, "counts", {"loss_function": "Poisson"}, DOUBLE),
]


def soak(cases: list[Any]) -> list[Any]:
    """CatBoost is installed for the long tests only: it takes 330 MB."""
    return [pytest.param(*case, marks=pytest.mark.soak) for case in cases]


@pytest.mark.parametrize(("library", "labels", "options", "difference"), [*AGREE, *soak(AGREE_CATBOOST)], ids=name)
def test_a_graph_gives_what_the_library_gives(library: Any, labels: str, options: Any, difference: float) -> None:
    found = compiled(library(labels, **options), labels)
    assert found.agreement.rows == ROWS
    assert found.agreement.largest_difference <= difference
    assert found.agreement.flipped == 0


REFUSED = [
    (lightgbm, "two", {"linear_tree": True}, "LightGBM with linear_tree"),
    (
        lightgbm,
        "two",
        {"categorical_feature": [2], "zero_as_missing": True},
        "LightGBM with categorical features and zero_as_missing",
    ),
    (lightgbm, "two", {"pred_early_stop": True}, "LightGBM with pred_early_stop"),
    (lightgbm, "three", {"objective": "multiclassova"}, "LGBMClassifier with the objective multiclassova"),
    (lightgbm, "counts", {"reg_sqrt": True}, "LGBMRegressor with the objective regression sqrt"),
    (xgboost, "two", {"booster": "dart"}, "XGBoost with the booster dart"),
    (xgboost, "number", {"booster": "gblinear"}, "XGBoost with the booster gblinear"),
    (xgboost, "two", {"objective": "binary:hinge"}, "XGBoost with the objective binary:hinge"),
]
REFUSED_CATBOOST = [
    (catboost, "three", {"loss_function": "MultiClassOneVsAll"}, "with loss_function='MultiClassOneVsAll'"),
    (catboost, "number", {"loss_function": "RMSEWithUncertainty"}, "with loss_function='RMSEWithUncertainty'"),
]


@pytest.mark.parametrize(("library", "labels", "options", "reason"), [*REFUSED, *soak(REFUSED_CATBOOST)], ids=name)
def test_what_does_not_compile_says_why(library: Any, labels: str, options: Any, reason: str) -> None:
    with pytest.raises(NotCompiled, match=reason):
        compiled(library(labels, **options), labels)


def test_splits_by_categories_of_lightgbm_are_followed() -> None:
    """It ignores what follows the decimal point; a category that is unknown, negative or missing goes right."""
    codes = FEATURES.assign(steps=np.random.default_rng(2).integers(0, 70, ROWS).astype(float))
    model = make_reproducible(lightgbm("number", categorical_feature=[2], min_data_per_group=5, cat_smooth=1))
    with pytest.warns(UserWarning, match="categorical_feature"):
        model.fit(codes, NOISY + codes["steps"] % 3 * 2)
    assert "cat_threshold" in model.booster_.model_to_string()
    odd = [np.nan, np.inf, -1, -0.5, 0.5, 69.9, 70, 1e10, 3]
    strange = pd.concat([codes, codes.head(len(odd)).assign(steps=odd)], ignore_index=True)
    assert compile_model(model, strange, NUMBER).agreement.largest_difference == 0


def test_categorical_splits_of_xgboost_are_refused() -> None:
    codes = FEATURES.assign(steps=np.arange(ROWS) % 7.0)
    model = xgboost("number", enable_categorical=True, feature_types=["q", "q", "c", "q", "q"], max_cat_to_onehot=1)
    with pytest.raises(NotCompiled, match="XGBoost with categorical features: encode them"):
        compile_model(model.fit(codes, NOISY + codes["steps"] % 2 * 9), codes, NUMBER)


@pytest.mark.soak
def test_text_that_catboost_encodes_itself_is_refused() -> None:
    rows = made_up_set(200)
    model = make_reproducible(catboost("two", cat_features=["plan"])).fit(rows.features, rows.labels)
    with pytest.raises(NotCompiled, match="CatBoost with categorical features, texts or embeddings: encode them"):
        compile_model(model, rows.features, TWO)


@pytest.mark.parametrize("library", [lightgbm, xgboost, pytest.param(catboost, marks=pytest.mark.soak)], ids=name)
def test_text_goes_through_an_encoder_before_a_booster(library: Any) -> None:
    rows = made_up_set(400)
    encode = (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["plan"])
    columns = make_column_transformer(encode, remainder="passthrough")
    model = make_pipeline(columns, make_reproducible(library("two"))).fit(rows.features, rows.labels)
    found = compile_model(model, rows.features, TWO)
    assert np.allclose(run(found.runtime, rows.features), model.predict_proba(rows.features)[:, 1], rtol=0, atol=SINGLE)


@pytest.mark.parametrize(
    ("model", "labels"),
    [
        (CalibratedClassifierCV(lightgbm("two"), cv=2), "two"),
        (CalibratedClassifierCV(lightgbm("three"), cv=2), "three"),
        (StackingClassifier([("one", lightgbm("three")), ("other", xgboost("three"))], cv=2), "three"),
        (TransformedTargetRegressor(lightgbm("number")), "number"),
    ],
    ids=["decision function", "decision functions", "stacked", "transformed"],
)
def test_a_booster_compiles_inside_an_estimator_of_scikit_learn(model: Any, labels: str) -> None:
    assert compiled(model, labels).agreement.largest_difference <= SINGLE


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("library", [lightgbm, xgboost, catboost], ids=name)
def test_any_depth_any_rate_and_any_gaps(library: Any, seed: int) -> None:
    generator = np.random.default_rng(seed)
    table = pd.DataFrame(
        generator.standard_t(2, size=(1000, 6)).round(generator.integers(0, 8)), columns=list("abcdef")
    )
    table = table.mask(generator.random(table.shape) < generator.choice([0, 0.02, 0.5]))
    depth, rate = int(generator.integers(1, 10)), float(generator.choice([0.01, 0.1, 1.0]))
    labels = ("two", "three", "number")[seed % 3]
    outputs: dict[str, Output] = {"two": TWO, "three": THREE}
    model = make_reproducible(library(labels, max_depth=depth, learning_rate=rate))
    answers = table.fillna(1).sum(axis="columns").to_numpy() + generator.normal(size=1000)
    codes = {"two": answers > 0, "three": np.digitize(answers, [-1, 1]), "number": answers}
    found = compile_model(model.fit(table, codes[labels]), table, outputs.get(labels, NUMBER))
    assert found.agreement.largest_difference <= (SINGLE if library is xgboost else DOUBLE)
