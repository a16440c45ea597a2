"""Linear models, generalised ones and perceptrons -> ONNX nodes."""

import numpy as np

from asof.errors import NotCompiled
from training.models.compilation.graph import Graph
from training.models.compilation.predictors.links import binary, by_scores, one_against_rest, sigmoid, softmax


def scores(graph: Graph) -> str:
    """A weighted sum for each class, or for two classes one; NaN where it is infinite.

    scikit-learn refuses infinite numbers, even from a transformer. Adding the sum minus itself, which is 0, makes an
    infinite sum NaN.
    """
    weights = np.atleast_2d(np.asarray(graph.part.coef_, dtype=np.float64)).T
    start = np.asarray(graph.part.intercept_, dtype=np.float64).reshape(1, -1)
    total = graph.node("Add", graph.node("MatMul", graph.numbers(), np.ascontiguousarray(weights)), start)
    return graph.node("Add", total, graph.node("Sub", total, total))


def logistic(graph: Graph) -> None:
    """LogisticRegression; liblinear fits each of several classes against the rest."""
    if graph.part.solver == "liblinear" and not binary(graph):
        one_against_rest(graph, sigmoid(graph, graph.scores(graph.part)))
    else:
        by_scores(graph)


def by_gradient(graph: Graph) -> None:
    """SGDClassifier with the loss 'log_loss' or 'modified_huber', the only ones that have probabilities."""
    total = graph.scores(graph.part)
    if graph.part.loss == "log_loss":
        one_against_rest(graph, sigmoid(graph, total))
    else:
        clipped = graph.node("Clip", total, np.array(-1.0), np.array(1.0))
        one_against_rest(graph, graph.node("Div", graph.node("Add", clipped, np.array(1.0)), np.array(2.0)))


def number(graph: Graph) -> None:
    """LinearRegression, Ridge, Lasso and other weighted sums."""
    graph.output(scores(graph))


def generalised(graph: Graph) -> None:
    """PoissonRegressor, GammaRegressor and TweedieRegressor: the exponential of a weighted sum, or the sum itself."""
    graph.output(inverse_link(graph, scores(graph), graph.part._base_loss.link))


def inverse_link(graph: Graph, value: str, link: object) -> str:
    """Raises NotCompiled for another link than the identity and the logarithm."""
    match type(link).__name__:
        case "IdentityLink":
            return value
        case "LogLink":
            return graph.node("Exp", value)
        case other:
            raise NotCompiled(f"{type(graph.part).__name__} with the link {other}")


def perceptron_classifier(graph: Graph) -> None:
    """MLPClassifier."""
    total = _layers(graph)
    if binary(graph):
        graph.output_probabilities(sigmoid(graph, total))
    else:
        graph.output_classes(softmax(graph, total))


def perceptron_regressor(graph: Graph) -> None:
    """MLPRegressor."""
    total = _layers(graph)
    graph.output(graph.node("Exp", total) if graph.part.out_activation_ == "exp" else total)


def _layers(graph: Graph) -> str:
    """The sums of the last layer."""
    part, value = graph.part, graph.numbers()
    for index, (weights, start) in enumerate(zip(part.coefs_, part.intercepts_, strict=True)):
        value = _activated(graph, value) if index else value
        value = graph.node("Add", graph.node("MatMul", value, np.asarray(weights)), start.reshape(1, -1))
    return graph.node("Add", value, graph.node("Sub", value, value))


def _activated(graph: Graph, value: str) -> str:
    match graph.part.activation:
        case "relu":
            return graph.node("Max", value, np.array(0.0))
        case "tanh":
            return graph.node("Tanh", value)
        case "logistic":
            return sigmoid(graph, value)
        case _:
            return value
