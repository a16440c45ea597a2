"""Histogram boosting -> ONNX nodes. A split by a set of categories becomes a column, which a tree compares with 0.5."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.models.compilation.graph import DOUBLE, Graph
from training.models.compilation.predictors.linear import inverse_link
from training.models.compilation.trees import Tree, summed

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
        if not self.splits:
            return numbers
        by_feature = sorted(self.splits, key=lambda split: split[0])  # each feature is compared once
        columns = [self._columns(graph, numbers, *each) for each in groupby(by_feature, key=lambda split: split[0])]
        order = np.argsort([self.splits[each] for each in by_feature])
        return graph.node("Concat", numbers, graph.node("Gather", graph.joined(columns), order, axis=1), axis=1)

    def _columns(self, graph: Graph, numbers: str, feature: int, splits: Iterable[tuple[int, frozenset[int]]]) -> str:
        """The columns of a feature's splits."""
        codes = self.known[feature]
        column = graph.node("Gather", numbers, np.array([feature]), axis=1)
        flags = graph.node("Cast", graph.node("Equal", column, codes[None].astype(np.float64)), to=DOUBLE)
        others = np.column_stack([[float(code not in categories) for code in codes] for _, categories in splits])
        known = graph.node("ReduceSum", flags, np.array([1]), keepdims=1)
        outside = graph.node("MatMul", flags, others)
        return graph.node("Where", graph.node("Equal", known, np.array(0.0)), np.array(np.nan), outside)


def scores(graph: Graph) -> str:
    """HistGradientBoosting: the baseline plus the sum of the trees."""
    columns, trees, _ = numbers_and_trees(graph)
    sums = [summed(graph, columns, each) for each in trees]
    return graph.joined(sums)


def numbers_and_trees(graph: Graph) -> tuple[str, list[list[Tree]], list[int]]:
    """The columns of the trees, the trees of each sum, and for each column the feature that it splits by.

    The first tree of a sum includes the baseline.
    """
    part, numbers = graph.part, _input(graph)
    splits = CategorySplits(part.n_features_in_, _known_categories(part))
    baselines = part._baseline_prediction.ravel().tolist()
    trees = [_trees(part._predictors, column, first, splits) for column, first in enumerate(baselines)]
    return splits.appended(graph, numbers), trees, [*range(splits.features), *(feature for feature, _ in splits.splits)]


def _input(graph: Graph) -> str:
    """The numbers of its trees: the codes of categories come first."""
    if graph.part._preprocessor is None:
        return graph.numbers()
    encoder, flags = graph.part._preprocessor.named_transformers_["encoder"], graph.part.is_categorical_
    codes = graph.convert(encoder, graph.select(np.flatnonzero(flags).tolist()))
    rest = graph.select(np.flatnonzero(~flags).tolist())
    names = [each.name for each in (*codes, *rest)]
    return graph.joined(names)


def _known_categories(part: Any) -> dict[int, Any]:
    """The codes of each categorical column of its trees."""
    if part._preprocessor is None:
        return {}
    bits, rows = part._bin_mapper.make_known_categories_bitsets()
    columns = np.flatnonzero(part._is_categorical_remapped).tolist()
    return {column: np.array(sorted(_members(bits[rows[column]]))) for column in columns}


def _trees(predictors: Sequence[Sequence[Any]], column: int, baseline: float, splits: CategorySplits) -> list[Tree]:
    """Each iteration's at `column`; the first one's values include the baseline, with which the sum starts."""
    first, *others = (_tree(iteration[column], splits) for iteration in predictors)
    return [replace(first, value=baseline + first.value), *others]


def _tree(predictor: Any, splits: CategorySplits) -> Tree:
    nodes = predictor.nodes
    feature, threshold = nodes["feature_idx"].astype(np.int64), nodes["num_threshold"].copy()
    for node in np.flatnonzero(nodes["is_categorical"] & ~nodes["is_leaf"].astype(bool)):
        left = _members(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]])
        feature[node], threshold[node] = splits.column(int(feature[node]), left), THRESHOLD
    return Tree(
        leaf=nodes["is_leaf"].astype(bool),
        feature=feature,
        threshold=threshold,
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        value=nodes["value"],
        cover=nodes["count"].astype(np.float64),
    )


def regressor(graph: Graph) -> None:
    """HistGradientBoostingRegressor. Raises NotCompiled for another link than the identity and the logarithm."""
    graph.output(inverse_link(graph, scores(graph), graph.part._loss.link))


def _members(bits: NDArray[np.uint32]) -> frozenset[int]:
    """The numbers of the bits that are set in words of 32."""
    flags = np.unpackbits(np.ascontiguousarray(bits).view(np.uint8), bitorder="little")
    return frozenset(np.flatnonzero(flags).tolist())
