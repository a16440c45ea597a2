"""Transformers of several numbers into others -> ONNX nodes: selection, projection, length."""

import numpy as np

from training.models.compilation.graph import Graph


def select(graph: Graph) -> None:
    """SelectKBest and other selectors of columns."""
    graph.outputs = graph.select(np.flatnonzero(graph.part.get_support()).tolist())


def project(graph: Graph) -> None:
    """PCA, TruncatedSVD and FastICA: centred, where there is a mean, and multiplied by the components."""
    part, numbers = graph.part, graph.numbers()
    components = part.components_.T
    if (mean := getattr(part, "mean_", None)) is not None:
        numbers = graph.node("Sub", numbers, np.asarray(mean).reshape(1, -1))
    projected = graph.node("MatMul", numbers, np.ascontiguousarray(components))
    if getattr(part, "whiten", None) is True:
        projected = graph.node("Div", projected, np.sqrt(part.explained_variance_).reshape(1, -1))
    graph.output(projected)


def normalise(graph: Graph) -> None:
    """Normalizer: each row over its norm, where that is not zero."""
    numbers = graph.numbers()
    kind = {"l1": "ReduceL1", "l2": "ReduceL2", "max": "ReduceMax"}[graph.part.norm]
    sizes = graph.node("Abs", numbers) if graph.part.norm == "max" else numbers
    norm = graph.node(kind, sizes, np.array([1]), keepdims=1)
    filled = graph.node("Where", graph.node("Equal", norm, np.array(0.0)), np.array(1.0), norm)
    graph.output(graph.node("Div", numbers, filled))
