"""Scores -> probabilities, as ONNX nodes with SciPy's formulas."""

import numpy as np

from training.models.compilation.graph import Graph

ONE, ROW = np.array(1.0), np.array([1])


def sigmoid(graph: Graph, value: str) -> str:
    """1 / (1 + exp(-x)), as SciPy's `expit`; the operator Sigmoid loses digits."""
    return graph.node("Div", ONE, graph.node("Add", ONE, graph.node("Exp", graph.node("Neg", value))))


def softmax(graph: Graph, values: str) -> str:
    """exp(x - max) over its sum, in each row."""
    powers = graph.node("Exp", graph.node("Sub", values, graph.node("ReduceMax", values, ROW, keepdims=1)))
    return graph.node("Div", powers, graph.node("ReduceSum", powers, ROW, keepdims=1))


def shares(graph: Graph, values: str, classes: int) -> str:
    """Each over the sum of its row; equal shares where that is 0."""
    total = graph.node("ReduceSum", values, ROW, keepdims=1)
    none = graph.node("Equal", total, np.array(0.0))
    divided = graph.node("Div", values, graph.node("Where", none, ONE, total))
    return graph.node("Where", none, np.array(1.0 / classes), divided)


def binary(graph: Graph) -> bool:
    """Whether the part has two classes."""
    return len(graph.part.classes_) == 2


def by_scores(graph: Graph) -> None:
    """A classifier whose probabilities are the sigmoid, or the softmax, of its decision function."""
    scores = graph.scores(graph.part)
    if binary(graph):
        graph.output_probabilities(sigmoid(graph, scores))
    else:
        graph.output_classes(softmax(graph, scores))


def one_against_rest(graph: Graph, values: str) -> None:
    """The output of probabilities of each class against the rest, shape (rows, 1) for two classes."""
    if binary(graph):
        graph.output_probabilities(values)
    else:
        graph.output_classes(shares(graph, values, len(graph.part.classes_)))
