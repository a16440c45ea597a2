"""Trees, forests and boosting -> ONNX nodes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from asof.errors import NotCompiled
from training.models.compilation.graph import Graph
from training.models.compilation.predictors.links import binary, softmax
from training.models.compilation.trees import Tree, single_precision, summed, tree_of


def tree_classifier(graph: Graph) -> None:
    """DecisionTreeClassifier: the share of each class in a row's leaf."""
    numbers = single_precision(graph)
    _output(graph, lambda code: summed(graph, numbers, [tree_of(graph.part, code)]))


def tree_regressor(graph: Graph) -> None:
    """DecisionTreeRegressor: the value of a row's leaf."""
    graph.output(summed(graph, single_precision(graph), [tree_of(graph.part, 0)]))


def forest_classifier(graph: Graph) -> None:
    """RandomForestClassifier and ExtraTreesClassifier: the mean of their trees."""
    numbers, trees = single_precision(graph), graph.part.estimators_
    count = np.array(float(len(trees)))

    def mean(code: int) -> str:
        return graph.node("Div", summed(graph, numbers, [tree_of(each, code) for each in trees]), count)

    _output(graph, mean)


def forest_regressor(graph: Graph) -> None:
    """RandomForestRegressor and ExtraTreesRegressor: the mean of their trees."""
    trees = [tree_of(each, 0) for each in graph.part.estimators_]
    total = summed(graph, single_precision(graph), trees)
    graph.output(graph.node("Div", total, np.array(float(len(trees)))))


def gradient_scores(graph: Graph) -> str:
    """GradientBoosting: the sum of its trees."""
    numbers = single_precision(graph)
    sums = [summed(graph, numbers, each) for each in gradient_trees(graph)]
    return graph.joined(sums)


def gradient_trees(graph: Graph) -> list[list[Tree]]:
    """The trees of each sum, which the learning rate scales; the first one includes the first prediction.

    Raises NotCompiled where that is of another model, and so no constant.
    """
    part = graph.part
    return [
        _with_start(part.estimators_[:, column], part.learning_rate, start)
        for column, start in enumerate(_constant(part))
    ]


def gradient_regressor(graph: Graph) -> None:
    """GradientBoostingRegressor."""
    graph.output(gradient_scores(graph))


def adaptive_scores(graph: Graph) -> str:
    """AdaBoostClassifier: the weighted votes of its trees."""
    return graph.node("ReduceSum", _votes(graph), np.array([1]), keepdims=1) if binary(graph) else _votes(graph)


def adaptive_classifier(graph: Graph) -> None:
    """AdaBoostClassifier: the softmax of its votes. Raises NotCompiled for other parts than trees."""
    total = graph.scores(graph.part)
    if binary(graph):
        total = graph.node("Div", graph.node("Concat", graph.node("Neg", total), total, axis=1), np.array(2.0))
    else:
        total = graph.node("Div", total, np.array(len(graph.part.classes_) - 1.0))
    graph.output_classes(softmax(graph, total))


def adaptive_regressor(graph: Graph) -> None:
    """AdaBoostRegressor: the weighted median of its trees. Raises NotCompiled for other parts than trees."""
    part = graph.part
    trees = [tree_of(each, 0) for each in _only_trees(part)]
    values = summed(graph, single_precision(graph), trees, apart=True)
    count = np.array([len(trees)])
    lowest = graph.nodes_of("TopK", values, count, outputs=2, axis=1, largest=0, sorted=1)
    weights = graph.node("Gather", part.estimator_weights_[: len(trees)], lowest[1])
    reached = graph.node("CumSum", weights, np.array(1))
    half = graph.node("Mul", graph.node("ReduceSum", weights, np.array([1]), keepdims=1), np.array(0.5))
    enough = graph.node("Cast", graph.node("GreaterOrEqual", reached, half), to=7)
    median = graph.node("ArgMax", enough, axis=1, keepdims=1)
    graph.output(graph.node("GatherElements", lowest[0], median, axis=1))


def _output(graph: Graph, probability: Callable[[int], str]) -> None:
    """The output, from the probability of a class by its code, shape (rows, 1)."""
    if binary(graph):
        graph.output_probabilities(probability(1))
    else:
        every = [probability(code) for code in range(len(graph.part.classes_))]
        graph.output_classes(graph.joined(every))


def _constant(boosting: Any) -> list[float]:
    """The first prediction of each sum."""
    count = boosting.n_trees_per_iteration_
    if boosting.init_ == "zero":
        return [0.0] * count
    if type(boosting.init_).__name__ not in ("DummyClassifier", "DummyRegressor"):
        raise NotCompiled(f"{type(boosting).__name__} with an init of its own")
    return boosting._raw_predict_init(np.zeros((1, boosting.n_features_in_), dtype=np.float32)).ravel().tolist()  # type: ignore[no-any-return]


def _with_start(trees: Any, rate: float, start: float) -> list[Tree]:
    first, *others = (replace(each, value=rate * each.value) for each in (tree_of(tree, 0) for tree in trees))
    return [replace(first, value=start + first.value), *others]


def _votes(graph: Graph) -> str:
    """The mean vote for each class, shape (rows, classes); with two classes that against the first, negative."""
    part, numbers = graph.part, single_precision(graph)
    classes, trees = len(part.classes_), _only_trees(part)
    weights = part.estimator_weights_[: len(trees)]
    sums = []
    for code in range(classes):
        voted = (_vote(tree, code, classes, weight) for tree, weight in zip(trees, weights, strict=True))
        total = graph.node("Div", summed(graph, numbers, list(voted)), np.array(float(part.estimator_weights_.sum())))
        sums.append(graph.node("Neg", total) if classes == 2 and code == 0 else total)
    return graph.joined(sums)


def _vote(fitted: Any, code: int, classes: int, weight: float) -> Tree:
    """The tree whose leaves vote for a class by the weight, and against it by what keeps the sum zero."""
    answers = fitted.classes_[fitted.tree_.value[:, 0, :].argmax(axis=1)]
    return replace(tree_of(fitted, 0), value=np.where(answers == code, weight, -1 / (classes - 1) * weight))


def _only_trees(part: Any) -> list[Any]:
    trees = list(part.estimators_)
    if other := next((each for each in trees if not hasattr(each, "tree_")), None):
        raise NotCompiled(f"{type(part).__name__} of {type(other).__name__}")
    return trees
