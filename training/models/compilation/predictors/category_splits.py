"""Splits by a set of categories -> a column for each set, so that the nodes of a tree compare it with a threshold."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.models.compilation.graph import DOUBLE, Graph

THRESHOLD = 0.5


@dataclass
class CategorySplits:
    """The splits of a model with `features` columns. `known` are the codes of those that are categorical.

    A split's column is 0 for its categories, 1 for other known ones, NaN where the category is unknown or missing.
    """

    features: int
    known: Mapping[int, NDArray[np.int64]]
    splits: dict[tuple[int, frozenset[int]], int] = field(default_factory=dict)

    def column(self, feature: int, categories: frozenset[int]) -> int:
        """The number of the column of a split, which follows those of the features."""
        return self.features + self.splits.setdefault((feature, categories), len(self.splits))

    def appended(self, graph: Graph, numbers: str) -> str:
        """The numbers, shape (rows, features), with a column for each split."""
        columns = [self._column(graph, numbers, *each) for each in self.splits]
        return graph.node("Concat", numbers, *columns, axis=1) if columns else numbers

    def _column(self, graph: Graph, numbers: str, feature: int, categories: frozenset[int]) -> str:
        codes = self.known[feature].astype(np.float64)
        column = graph.node("Gather", numbers, np.array([feature]), axis=1)
        flags = graph.node("Cast", graph.node("Equal", column, codes.reshape(1, -1)), to=DOUBLE)
        other = np.array([[0.0 if code in categories else 1.0, 1.0] for code in self.known[feature].tolist()])
        both = graph.node("MatMul", flags, other)
        outside, known = (graph.node("Gather", both, np.array([index]), axis=1) for index in (0, 1))
        return graph.node("Where", graph.node("Equal", known, np.array(0.0)), np.array(np.nan), outside)


def members(bits: NDArray[np.uint32]) -> frozenset[int]:
    """The numbers of the bits that are set in words of 32."""
    flags = np.unpackbits(np.ascontiguousarray(bits).view(np.uint8), bitorder="little")
    return frozenset(np.flatnonzero(flags).tolist())
