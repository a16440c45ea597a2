"""Support vector machines -> ONNX nodes: a weighted sum of the kernel of a row and each support vector."""

from typing import Any

import numpy as np

from asof.errors import NotCompiled
from training.models.compilation.graph import Graph
from training.models.compilation.predictors.links import binary


def regressor(graph: Graph) -> None:
    """SVR and NuSVR."""
    graph.output(_total(graph))


def scores(graph: Graph) -> str:
    """SVC and NuSVC of two classes. Raises NotCompiled for several, which it compares in pairs."""
    if not binary(graph):
        raise NotCompiled(f"{type(graph.part).__name__} of several classes")
    return _total(graph)


def _total(graph: Graph) -> str:
    part = graph.part
    kernel = _kernel(graph, part, graph.numbers(), part.support_vectors_)
    total = graph.node("Add", graph.node("MatMul", kernel, part.dual_coef_.T.copy()), part.intercept_.reshape(1, -1))
    return graph.node("Add", total, graph.node("Sub", total, total))


def _kernel(graph: Graph, part: Any, numbers: str, vectors: Any) -> str:
    """The kernel of each row and each vector, shape (rows, vectors)."""
    product = graph.node("MatMul", numbers, vectors.T.copy())
    if part.kernel == "linear":
        return product
    scale, start = np.array(float(part._gamma)), np.array(float(part.coef0))
    if part.kernel == "rbf":
        ours = graph.node("ReduceSum", graph.node("Mul", numbers, numbers), np.array([1]), keepdims=1)
        theirs = (vectors**2).sum(axis=1).reshape(1, -1)
        apart = graph.node("Add", graph.node("Sub", ours, graph.node("Mul", product, np.array(2.0))), theirs)
        return graph.node("Exp", graph.node("Mul", graph.node("Neg", apart), scale))
    line = graph.node("Add", graph.node("Mul", product, scale), start)
    match part.kernel:
        case "poly":
            return graph.node("Pow", line, np.array(float(part.degree)))
        case "sigmoid":
            return graph.node("Tanh", line)
        case other:
            raise NotCompiled(f"{type(part).__name__} with kernel={other!r}")
