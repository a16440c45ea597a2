"""Made-up users with a label of each target, and pipelines that take all their columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn import compose, impute, linear_model, preprocessing, tree
from sklearn.pipeline import Pipeline, make_pipeline

from asof.targets import (
    Binary,
    BinaryOutput,
    Multiclass,
    MulticlassOutput,
    Output,
    Regression,
    RegressionOutput,
    Target,
)

COMPILED = "compiled"
SCIKIT_LEARN, REFUSED = "scikit-learn: ", "refused: "
NEIGHBOURS = "it searches all training rows, and their order decides among equal distances"
NUMBERS = ["hours", "tickets", "paperless", "delay"]
CLASSES = ("low", "middle", "high")


@dataclass(frozen=True)
class Case:
    """An estimator, or a transformer in a pipeline, and what becomes of it: COMPILED, or one of the others and why."""

    title: str
    model: Any
    outcome: str


@dataclass(frozen=True)
class Problem:
    """A target with labels, and the output of a model of it."""

    name: str
    target: Target
    output: Output
    labels: Any


def rows(count: int = 160) -> pd.DataFrame:
    """Made-up users: text, a boolean, numbers, and a derived number that is missing in places."""
    draw = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "hours": draw.gamma(2.0, 10.0, count),
            "tickets": draw.poisson(1.0, count).astype(float),
            "paperless": (draw.random(count) < 0.6).astype(float),
            "plan": draw.choice(["monthly", "yearly", "not applicable"], count).astype(object),
            "delay": np.where(draw.random(count) < 0.2, np.nan, draw.normal(0.0, 1.0, count)),
        }
    )


ROWS = rows()
SCORE = ROWS["hours"] / 10 + ROWS["tickets"] + (ROWS["plan"] == "monthly") + ROWS["delay"].fillna(0.0)
TWO = Problem("two", Binary(("stays", "leaves")), BinaryOutput(0.5), (SCORE.median() < SCORE).to_numpy().astype(int))
SEVERAL = Problem(
    "several", Multiclass(CLASSES), MulticlassOutput(CLASSES), np.digitize(SCORE, SCORE.quantile([0.3, 0.7]))
)
NUMBER = Problem("number", Regression("hours"), RegressionOutput("hours", 1.0, 0.9), np.exp(SCORE.to_numpy() / 3))


def encode() -> Any:
    return preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False)


def on_all_columns(model: Any) -> Pipeline:
    """The estimator behind encoded text and imputed numbers, not scaled: the last digit decides about a split."""
    columns = compose.make_column_transformer((encode(), ["plan"]), (impute.SimpleImputer(), NUMBERS))
    return Pipeline([("columns", columns), ("model", model)])


def scaled(model: Any) -> Pipeline:
    return make_pipeline(preprocessing.StandardScaler(), model)


def on_numbers(transformer: Any, *, imputed: bool = True) -> Pipeline:
    """The transformer of numbers, imputed before or by itself, in front of a logistic regression."""
    numbers = make_pipeline(impute.SimpleImputer(), transformer) if imputed else transformer
    columns = compose.make_column_transformer((encode(), ["plan"]), (numbers, NUMBERS))
    return Pipeline([("columns", columns), ("scale", preprocessing.MaxAbsScaler()), ("model", logistic())])


def on_text(transformer: Any) -> Pipeline:
    """The transformer of a text, in front of a logistic regression."""
    columns = compose.make_column_transformer((transformer, ["plan"]), (impute.SimpleImputer(), NUMBERS))
    return Pipeline([("columns", columns), ("scale", preprocessing.MaxAbsScaler()), ("model", logistic())])


def logistic() -> Any:
    return linear_model.LogisticRegression(max_iter=500)


def small_tree() -> Any:
    return tree.DecisionTreeClassifier(max_depth=3, random_state=0)


def regression_tree() -> Any:
    return tree.DecisionTreeRegressor(max_depth=3, random_state=0)


def doubled(values: Any) -> Any:
    """A function of a use case's own."""
    return values * 2
