"""The sum that a fitted model's score is, by the model's type."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import NotExplained
from asof.inference.explanation.linear_sum import LinearSum
from asof.inference.explanation.tree_sum import TreeSum
from training.models.compilation.boosters import catboost, lightgbm, xgboost
from training.models.compilation.graph import Graph
from training.models.compilation.predictors import ensembles, histogram
from training.models.compilation.transformers.composition import before_last
from training.models.compilation.trees import Tree, single_precision, tree_of

DOUBLE_PRECISION, SINGLE_PRECISION = 1e-9, 1e-5


@dataclass(frozen=True)
class ModelSum:
    """The name of the columns of the graph, shape (rows, columns), and their sum; its means are not known yet."""

    numbers: str
    sum: LinearSum | TreeSum
    tolerance: float = DOUBLE_PRECISION


def sum_of(graph: Graph) -> ModelSum:
    """That of the graph's part. Raises NotExplained where its score is none."""
    name = type(graph.part).__name__
    if len(getattr(graph.part, "classes_", ())) > 2:
        raise NotExplained(f"{name} has several classes, and no single score")
    make = _table().get(type(graph.part))
    if make is None:
        raise NotExplained(f"{name} is neither a weighted sum nor a sum of trees")
    return make(graph)


def _pipeline(graph: Graph) -> ModelSum:
    return sum_of(graph.inner(graph.part.steps[-1][1], before_last(graph)))


def _inner(name: str) -> Callable[[Graph], ModelSum]:
    return lambda graph: sum_of(graph.inner(getattr(graph.part, name)))


def _linear(graph: Graph) -> ModelSum:
    weights = np.asarray(graph.part.coef_, dtype=np.float64).ravel()
    start = float(np.ravel(graph.part.intercept_)[0])
    return ModelSum(graph.numbers(), LinearSum(weights, np.zeros(weights.size), start))


def _tree(graph: Graph) -> ModelSum:
    return _mean(graph, [graph.part])


def _forest(graph: Graph) -> ModelSum:
    return _mean(graph, graph.part.estimators_)


def _mean(graph: Graph, fitted: Sequence[Any]) -> ModelSum:
    code = 1 if hasattr(graph.part, "classes_") else 0
    trees = [tree_of(each, code) for each in fitted]
    return ModelSum(single_precision(graph), tree_sum(trees, scale=1 / len(trees)))


def _gradient(graph: Graph) -> ModelSum:
    return ModelSum(single_precision(graph), tree_sum(*ensembles.gradient_trees(graph)))


def _histogram(graph: Graph) -> ModelSum:
    numbers, trees, features = histogram.numbers_and_trees(graph)
    return ModelSum(numbers, tree_sum(*trees, features=features))


def _lightgbm(graph: Graph) -> ModelSum:
    numbers, trees, features, divisor = lightgbm.numbers_and_trees(graph)
    return ModelSum(numbers, tree_sum(*trees, features=features, scale=1 / divisor))


def _xgboost(graph: Graph) -> ModelSum:
    numbers, trees = xgboost.numbers_and_trees(graph)
    return ModelSum(numbers, tree_sum(*trees), SINGLE_PRECISION)


def _catboost(graph: Graph) -> ModelSum:
    numbers, trees, biases = catboost.numbers_and_trees(graph)
    return ModelSum(numbers, tree_sum(*trees, start=biases[0]))


def tree_sum(
    trees: Sequence[Tree], *, features: Sequence[int] | None = None, scale: float = 1.0, start: float = 0.0
) -> TreeSum:
    """The trees one after the other, their leaves times `scale`.

    `features` has for each column the one that its splits count for: columns may stand for splits by categories.
    """
    ends = np.cumsum([0, *(each.leaf.size for each in trees)])
    arrays: dict[str, list[NDArray[Any]]] = {
        "column": [each.feature for each in trees],
        "threshold": [each.threshold for each in trees],
        "left": [_child(each, each.left) + end for each, end in zip(trees, ends, strict=False)],
        "right": [_child(each, each.right) + end for each, end in zip(trees, ends, strict=False)],
        "missing_left": [each.missing_left for each in trees],
        "value": [np.where(each.leaf, scale * each.value.astype(np.float64), 0.0) for each in trees],
        "cover": [each.cover for each in trees],
    }
    joined = {name: np.concatenate(parts) for name, parts in arrays.items()}
    leaf = joined["left"] == np.arange(joined["left"].size)
    joined["column"] = np.where(leaf, 0, joined["column"])
    joined["feature"] = joined["column"] if features is None else np.array(features)[joined["column"]]
    return TreeSum.of(joined, start)


def _child(tree: Tree, child: Any) -> Any:
    return np.where(tree.leaf, np.arange(tree.leaf.size), child)


def _table() -> Mapping[type, Callable[[Graph], ModelSum]]:
    from sklearn import discriminant_analysis, ensemble, frozen, linear_model, model_selection, pipeline, svm, tree

    classifiers = "LogisticRegression LogisticRegressionCV SGDClassifier"
    numbers = (
        "LinearRegression Ridge RidgeCV Lasso LassoCV ElasticNet ElasticNetCV Lars LassoLars OrthogonalMatchingPursuit "
        "BayesianRidge ARDRegression HuberRegressor QuantileRegressor TheilSenRegressor SGDRegressor PoissonRegressor "
        "GammaRegressor TweedieRegressor"
    )
    trees = "DecisionTreeClassifier ExtraTreeClassifier DecisionTreeRegressor ExtraTreeRegressor"
    forests = "RandomForestClassifier ExtraTreesClassifier RandomForestRegressor ExtraTreesRegressor"
    return {
        pipeline.Pipeline: _pipeline,
        frozen.FrozenEstimator: _inner("estimator"),
        model_selection.FixedThresholdClassifier: _inner("estimator_"),
        linear_model.RANSACRegressor: _inner("estimator_"),
        **{getattr(linear_model, name): _linear for name in f"{classifiers} {numbers}".split()},
        discriminant_analysis.LinearDiscriminantAnalysis: _linear,
        svm.LinearSVR: _linear,
        **{getattr(tree, name): _tree for name in trees.split()},
        **{getattr(ensemble, name): _forest for name in forests.split()},
        ensemble.GradientBoostingClassifier: _gradient,
        ensemble.GradientBoostingRegressor: _gradient,
        ensemble.HistGradientBoostingClassifier: _histogram,
        ensemble.HistGradientBoostingRegressor: _histogram,
        **_boosters(),
    }


def _boosters() -> Mapping[type, Callable[[Graph], ModelSum]]:
    """Of the libraries that are imported."""
    names = {"catboost": ("CatBoost", _catboost), "lightgbm": ("LGBM", _lightgbm), "xgboost": ("XGB", _xgboost)}
    return {
        getattr(sys.modules[library], f"{name}{kind}"): make
        for library, (name, make) in names.items()
        if library in sys.modules
        for kind in ("Classifier", "Regressor")
    }
