"""Transformers of one number into several -> ONNX nodes: bins, splines, polynomials."""

from typing import Any

import numpy as np

from asof.errors import NotCompiled
from training.models.compilation.graph import DOUBLE, Graph, Value


def bins(graph: Graph) -> None:
    """KBinsDiscretizer: the number of inner edges that a value reaches, or one column for each bin."""
    parts = []
    for column, edges in zip(graph.columns(), graph.part.bin_edges_, strict=True):
        inner = np.asarray(edges[1:-1], dtype=np.float64).reshape(1, -1)
        reached = graph.node("Cast", graph.node("GreaterOrEqual", column.name, inner), to=DOUBLE)
        bin_ = graph.node("ReduceSum", reached, np.array([1]), keepdims=1)
        if graph.part.encode != "ordinal":
            every = np.arange(inner.size + 1, dtype=np.float64).reshape(1, -1)
            bin_ = graph.node("Cast", graph.node("Equal", bin_, every), to=DOUBLE)
        parts.append(bin_)
    graph.output(graph.joined(parts))


def polynomial(graph: Graph) -> None:
    """PolynomialFeatures: products of columns; the column of ones stands for no factor."""
    graph.nodes.unbounded, powers, numbers = True, graph.part.powers_, graph.numbers()
    ones = powers.shape[1]
    first = graph.node("Gather", numbers, np.array([0]), axis=1)
    padded = graph.node(
        "Concat", numbers, graph.node("Add", graph.node("Mul", first, np.array(0.0)), np.array(1.0)), axis=1
    )
    factors = [np.repeat(np.arange(ones), row) for row in powers]
    degree = max(map(len, factors))
    table = np.array([[*each, *[ones] * (degree - len(each))] for each in factors], dtype=np.int64)
    total = graph.node("Gather", padded, table[:, 0], axis=1)
    for column in range(1, degree):
        total = graph.node("Mul", total, graph.node("Gather", padded, table[:, column], axis=1))
    graph.output(total)


def spline(graph: Graph) -> None:
    """SplineTransformer, by the recursion of Cox and de Boor.

    Raises NotCompiled where values outside of the knots are not given those at the ends.
    """
    part = graph.part
    if part.extrapolation != "constant" or part.handle_missing != "error":
        raise NotCompiled("SplineTransformer with another extrapolation than 'constant', or with missing values")
    columns = zip(graph.columns(), part.bsplines_, strict=True)
    parts = [_basis(graph, column, each) for column, each in columns]
    if not part.include_bias:
        count = part.bsplines_[0].c.shape[1] - 1
        parts = [graph.node("Gather", each, np.arange(count), axis=1) for each in parts]
    graph.output(graph.joined(parts))


def _basis(graph: Graph, column: Value, curve: Any) -> str:
    """The value of each basis spline, shape (rows, splines)."""
    knots, degree = np.asarray(curve.t, dtype=np.float64), curve.k
    low, high = knots[degree], knots[-degree - 1]
    numbers = graph.node("Clip", column.name, np.array(low), np.array(high))
    ends = np.where(knots[1:] == high, np.inf, knots[1:])  # the last interval has its right end, too
    starts = np.where(knots[:-1] >= high, np.inf, knots[:-1])
    reached = graph.node("GreaterOrEqual", numbers, starts[None])
    basis = graph.node("Cast", graph.node("And", reached, graph.node("Less", numbers, ends[None])), to=DOUBLE)
    for order in range(1, degree + 1):
        count = knots.size - order
        widths = knots[order:] - knots[:count]
        share = graph.node("Div", graph.node("Sub", numbers, knots[None, :count]), widths[None])
        left, right = (np.arange(first, first + count - 1) for first in (0, 1))
        rising = graph.node("Mul", *(graph.node("Gather", each, left, axis=1) for each in (share, basis)))
        rest = graph.node("Sub", np.array(1.0), graph.node("Gather", share, right, axis=1))
        falling = graph.node("Mul", rest, graph.node("Gather", basis, right, axis=1))
        basis = graph.node("Add", rising, falling)
    return basis
