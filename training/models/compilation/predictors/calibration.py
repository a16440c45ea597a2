"""CalibratedClassifierCV -> ONNX nodes: the mean of classifiers whose scores are mapped to probabilities."""

from typing import Any

import numpy as np

from asof.errors import NotCompiled
from training.models.compilation.graph import Graph
from training.models.compilation.predictors.links import binary, shares, sigmoid, softmax

EPSILON = 1e-12
"""What scikit-learn adds to a probability before its logarithm."""


def calibrated(graph: Graph) -> None:
    """The mean of the calibrated classifiers, one of each fold."""
    parts = graph.part.calibrated_classifiers_
    every = [_temperature(graph, each) if each.method == "temperature" else _mapped(graph, each) for each in parts]
    total = graph.node("Sum", *every) if len(every) > 1 else every[0]
    graph.output_classes(graph.node("Div", total, np.array(float(len(every)))))


def _mapped(graph: Graph, part: Any) -> str:
    """By a sigmoid or an isotonic function of each class's scores."""
    scores = _scores(graph, part)
    maps = part.calibrators
    single = (
        [scores]
        if len(maps) == 1
        else [graph.node("Gather", scores, np.array([code]), axis=1) for code in range(len(maps))]
    )
    mapped = [_map(graph, score, each) for score, each in zip(single, maps, strict=True)]
    if binary(graph):
        return graph.node("Concat", graph.node("Sub", np.array(1.0), mapped[0]), mapped[0], axis=1)
    return shares(graph, graph.joined(mapped), len(mapped))


def _temperature(graph: Graph, part: Any) -> str:
    """By the softmax of scores, or of logarithms of probabilities, times one factor."""
    scores, by_decision = _scores(graph, part), hasattr(part.estimator, "decision_function")
    if binary(graph):
        other = graph.node("Neg", scores) if by_decision else graph.node("Sub", np.array(1.0), scores)
        scores = graph.node("Concat", other, scores, axis=1)
    if not by_decision:
        scores = graph.node("Log", graph.node("Add", scores, np.array(EPSILON)))
    return softmax(graph, graph.node("Mul", scores, np.array(float(part.calibrators[0].beta_))))


def _scores(graph: Graph, part: Any) -> str:
    """The decision function, or else the probabilities; of two classes that of the second, shape (rows, 1)."""
    if list(part.estimator.classes_) != list(graph.part.classes_):
        raise NotCompiled("CalibratedClassifierCV with a fold that lacks a class")
    if hasattr(part.estimator, "decision_function"):
        return graph.scores(part.estimator)
    values = graph.one(part.estimator)
    return graph.node("Gather", values, np.array([1]), axis=1) if binary(graph) else values


def _map(graph: Graph, scores: str, function: Any) -> str:
    if hasattr(function, "a_"):
        line = graph.node("Add", graph.node("Mul", scores, np.array(float(function.a_))), np.array(float(function.b_)))
        return sigmoid(graph, graph.node("Neg", line))
    return isotonic(graph, scores, function)


def isotonic(graph: Graph, values: str, function: Any) -> str:
    """IsotonicRegression: linear between its thresholds, constant outside of them; values of shape (rows, 1)."""
    x, y = (np.asarray(each, dtype=np.float64) for each in (function.X_thresholds_, function.y_thresholds_))
    if x.size == 1:
        x, y = np.append(x, x + 1), np.append(y, y)
    clipped = graph.node("Clip", values, np.array(x[0]), np.array(x[-1]))
    below = graph.node("Cast", graph.node("Less", x[None, 1:-1], clipped), to=7)
    index = graph.node("ReduceSum", below, np.array([1]), keepdims=1)
    start, height, slope = (graph.node("Gather", each, index) for each in (x[:-1], y[:-1], np.diff(y) / np.diff(x)))
    return graph.node("Add", graph.node("Mul", slope, graph.node("Sub", clipped, start)), height)
