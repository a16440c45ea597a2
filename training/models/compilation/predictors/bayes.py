"""Naive Bayes and quadratic discriminants -> ONNX nodes: the softmax of each class's joint log likelihood."""

import numpy as np

from training.models.compilation.graph import Graph
from training.models.compilation.predictors.links import softmax


def gaussian(graph: Graph) -> None:
    """GaussianNB."""
    part = graph.part
    start = np.log(part.class_prior_) - 0.5 * np.log(2.0 * np.pi * part.var_).sum(axis=1)
    rows = graph.node("Unsqueeze", graph.numbers(), np.array([1]))  # (rows, 1, columns)
    apart = graph.node("Sub", rows, part.theta_[None])
    squares = graph.node("Div", graph.node("Mul", apart, apart), part.var_[None])
    distances = graph.node("ReduceSum", squares, np.array([2]), keepdims=0)
    likelihood = graph.node("Sub", start.reshape(1, -1), graph.node("Mul", distances, np.array(0.5)))
    graph.output_classes(softmax(graph, likelihood))


def multinomial(graph: Graph) -> None:
    """MultinomialNB."""
    total = graph.node("Add", _weighted(graph), graph.part.class_log_prior_.reshape(1, -1))
    graph.output_classes(softmax(graph, total))


def complement(graph: Graph) -> None:
    """ComplementNB."""
    graph.output_classes(softmax(graph, _weighted(graph)))


def _weighted(graph: Graph) -> str:
    return graph.node("MatMul", graph.numbers(), np.ascontiguousarray(graph.part.feature_log_prob_.T))


def bernoulli(graph: Graph) -> None:
    """BernoulliNB."""
    part, numbers = graph.part, graph.numbers()
    if part.binarize is not None:
        above = graph.node("Greater", numbers, np.array(float(part.binarize)))
        numbers = graph.node("Where", above, np.array(1.0), np.array(0.0))
    without = np.log(1 - np.exp(part.feature_log_prob_))
    weights = np.ascontiguousarray((part.feature_log_prob_ - without).T)
    start = part.class_log_prior_ + without.sum(axis=1)
    total = graph.node("Add", graph.node("MatMul", numbers, weights), start.reshape(1, -1))
    graph.output_classes(softmax(graph, total))


def quadratic(graph: Graph) -> None:
    """QuadraticDiscriminantAnalysis."""
    part, numbers = graph.part, graph.numbers()
    distances = []
    for mean, rotation, scaling in zip(part.means_, part.rotations_, part.scalings_, strict=True):
        turned = graph.node("MatMul", graph.node("Sub", numbers, mean.reshape(1, -1)), rotation * scaling**-0.5)
        distances.append(graph.node("ReduceSumSquare", turned, np.array([1]), keepdims=1))
    start = np.log(part.priors_) - 0.5 * np.array([np.log(scaling).sum() for scaling in part.scalings_])
    total = graph.node("Mul", graph.joined(distances), np.array(-0.5))
    graph.output_classes(softmax(graph, graph.node("Add", total, start.reshape(1, -1))))
