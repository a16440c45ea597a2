"""Compiled models of several classes and of a number: the same for every row and for odd values, or not compiled."""

from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge, RidgeCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, PowerTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from asof.errors import ModelError, NotCompiled
from asof.inference.runtime import Onnx
from asof.targets import BinaryOutput, MulticlassOutput, RegressionOutput
from tests.kits.models.training import made_up_set
from training.models.compilation.compile import compile_model

FEATURES = made_up_set(400).features
NUMBERS = FEATURES["hours"].to_numpy() * 3 + FEATURES["tickets"].to_numpy() + np.sin(np.arange(400))
CODES = np.digitize(NUMBERS, np.quantile(NUMBERS, [0.3, 0.7]))
HOURS = RegressionOutput("hours", margin=5.0, coverage=0.9)
LEVELS = MulticlassOutput(("low", "middle", "high"))

REGRESSORS = (
    *(LinearRegression(), Ridge(), RidgeCV(), Lasso(alpha=0.1), ElasticNet(alpha=0.1)),
    *(DecisionTreeRegressor(max_depth=5), RandomForestRegressor(20), ExtraTreesRegressor(20)),
    HistGradientBoostingRegressor(max_iter=30, early_stopping=False),
    HistGradientBoostingRegressor(max_iter=30, early_stopping=False, loss="poisson"),
    HistGradientBoostingRegressor(max_iter=30, early_stopping=False, loss="absolute_error"),
)
CLASSIFIERS = (
    LogisticRegression(max_iter=2000),
    *(DecisionTreeClassifier(max_depth=5), RandomForestClassifier(20), ExtraTreesClassifier(20)),
    HistGradientBoostingClassifier(max_iter=20, early_stopping=False),
)


def pipeline(model: Any, labels: Any) -> Any:
    """Linear models on transformed quantities, trees on plain ones: the last digit decides on the side of a split."""
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    linear = hasattr(model, "fit_intercept")
    quantities, scale = (PowerTransformer(), StandardScaler()) if linear else ("passthrough", "passthrough")
    parts = [("categories", encode, ["plan"]), ("quantities", quantities, ["hours", "tickets"])]
    columns = ColumnTransformer(parts, remainder="passthrough")
    return Pipeline([("columns", columns), ("scale", scale), ("model", model)]).fit(FEATURES, labels)


def name(model: Any) -> str:
    return f"{type(model).__name__}-{model.get_params().get('loss', '')}".rstrip("-")


@pytest.mark.parametrize("model", REGRESSORS, ids=name)
def test_a_compiled_regressor_gives_the_same_number_for_every_row(model: Any) -> None:
    compiled = compile_model(pipeline(model, np.abs(NUMBERS)), FEATURES, HOURS)
    assert compiled.agreement.rows == 400
    assert compiled.agreement.largest_difference < 1e-12


@pytest.mark.parametrize("model", CLASSIFIERS, ids=name)
def test_a_compiled_classifier_gives_the_same_probabilities_of_every_class(model: Any) -> None:
    compiled = compile_model(pipeline(model, CODES), FEATURES, LEVELS)
    assert compiled.agreement.largest_difference < 1e-12
    assert compiled.agreement.flipped == 0
    first = compiled.runtime.predict({str(column): FEATURES[column].to_numpy()[:1] for column in FEATURES})
    assert len(first[0]) == 3  # type: ignore[arg-type]


def test_the_tolerance_of_a_number_is_relative() -> None:
    """A billionth of a large number is more than 1e-6, and a millionth of a small one is less."""
    large = pipeline(LinearRegression(), NUMBERS * 1e12)
    assert compile_model(large, FEATURES, HOURS).agreement.holds
    ours = np.array([1e12 + 1, 2e-9, 0.0, 7.0])
    theirs = np.array([1e12, 1e-9, 0.0, 7.1])
    apart = RegressionOutput("s", margin=0.0, coverage=0.9).differences(ours, theirs)
    assert apart.tolist() == pytest.approx([1e-12, 1.0, 0.0, 0.1 / 7.1])
    assert HOURS.differences(ours, theirs)[1] == pytest.approx(1e-9 / 5)


def test_a_regressor_that_does_not_compile_says_so() -> None:
    with pytest.raises(NotCompiled, match="KNeighborsRegressor has no converter: it"):
        compile_model(pipeline(KNeighborsRegressor(), NUMBERS), FEATURES, HOURS)


def test_a_graph_of_another_target_is_refused() -> None:
    content = compile_model(pipeline(LogisticRegression(max_iter=2000), CODES), FEATURES, LEVELS).content
    with pytest.raises(ModelError, match=r"output of model\.onnx is not variable"):
        Onnx(content, HOURS)
    rows = {str(column): FEATURES[column].to_numpy()[:1] for column in FEATURES}
    with pytest.raises(ModelError, match=r"gives \(3,\) numbers a row, not 2: train and bundle again"):
        Onnx(content, BinaryOutput(0.5)).predict(rows)
