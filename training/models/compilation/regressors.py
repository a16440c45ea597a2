"""Regressors -> ONNX nodes in double precision: linear models, trees, forests and boosting."""

import numpy as np

from asof.errors import NotCompiled
from training.models.compilation.graph import Graph
from training.models.compilation.trees import boosted_trees, single_precision, summed, tree_of


def linear(graph: Graph) -> None:
    """LinearRegression, Ridge, Lasso and ElasticNet: a weighted sum, NaN where it is infinite."""
    weights = np.asarray(graph.part.coef_, dtype=np.float64).reshape(-1, 1)
    start = np.asarray(graph.part.intercept_, dtype=np.float64).reshape(1, 1)
    total = graph.node("Add", graph.node("MatMul", graph.numbers(), weights), start)
    graph.output(graph.node("Add", total, graph.node("Sub", total, total)))


def tree(graph: Graph) -> None:
    """DecisionTreeRegressor: the value of a row's leaf."""
    graph.output(summed(graph, single_precision(graph), [tree_of(graph.part, 0)]))


def forest(graph: Graph) -> None:
    """RandomForestRegressor and ExtraTreesRegressor: the mean of their trees."""
    trees = [tree_of(each, 0) for each in graph.part.estimators_]
    total = summed(graph, single_precision(graph), trees)
    graph.output(graph.node("Div", total, np.array(float(len(trees)))))


def boosting(graph: Graph) -> None:
    """HistGradientBoostingRegressor: the baseline plus the sum of the trees, or its exponential.

    Raises NotCompiled where it has categorical features, or another link.
    """
    part = graph.part
    if getattr(part, "is_categorical_", None) is not None:
        raise NotCompiled("HistGradientBoostingRegressor with categorical features")
    link = type(part._loss.link).__name__
    if link not in ("IdentityLink", "LogLink"):
        raise NotCompiled(f"HistGradientBoostingRegressor with the link {link}")
    trees = boosted_trees(part._predictors, 0, float(part._baseline_prediction.item()))
    total = summed(graph, graph.numbers(), trees)
    graph.output(graph.node("Exp", total) if link == "LogLink" else total)
