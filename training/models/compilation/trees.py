"""Fitted trees -> ONNX nodes in double precision.

Trees are summed in scikit-learn's order, so that predictions are equal to the last digit: a threshold is one of a
model's probabilities, and the last digit decides on which side of it a row falls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.models.compilation.graph import DOUBLE, SINGLE, TREES, Graph

LESS_OR_EQUAL = 0
"""The code of a node's comparison in the operator TreeEnsemble."""


@dataclass(frozen=True)
class Tree:
    """A tree's nodes in scikit-learn's order, each array of shape (nodes,).

    Only `leaf`, `value` and `cover` matter for a leaf. `cover` is the weight of the training rows at a node, as the
    library counts them.

    Thresholds and values are of double precision, or of single, in which the operator then compares and sums. A row
    goes left where its feature is at most the threshold, or is missing and `missing_left` is true.
    """

    leaf: NDArray[np.bool_]
    feature: NDArray[np.int64]
    threshold: NDArray[np.floating[Any]]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.floating[Any]]
    cover: NDArray[np.floating[Any]]


def single_precision(graph: Graph) -> str:
    """The features rounded to single precision, as trees take them; thresholds stay in double."""
    single = graph.node("Cast", graph.numbers(), to=SINGLE)
    if graph.nodes.unbounded:  # an infinite number of the request's own is refused before
        flags = graph.node("Where", graph.node("IsInf", single), np.array(np.nan), np.array(0.0))
        graph.nodes.refusals.append(graph.node("ReduceSum", flags, np.array([1]), keepdims=1))
    return graph.node("Cast", single, to=DOUBLE)


def tree_of(fitted: Any, column: int) -> Tree:
    """The nodes of a fitted decision tree; `column` is that of the values, such as the code of a class."""
    nodes = fitted.tree_
    return Tree(
        leaf=nodes.children_left < 0,
        feature=nodes.feature,
        threshold=nodes.threshold,
        left=nodes.children_left,
        right=nodes.children_right,
        missing_left=nodes.missing_go_to_left.astype(bool),
        value=nodes.value[:, 0, column],
        cover=nodes.weighted_n_node_samples,
    )


def summed(graph: Graph, numbers: str, trees: Sequence[Tree], *, apart: bool = False) -> str:
    """The sum of the trees' leaves in order, shape (rows, 1); apart: the leaf of each, shape (rows, trees)."""
    from onnx import numpy_helper

    parts, inner, leaves = [], 0, 0
    for number, each in enumerate(trees):
        parts.append(_attributes(each, inner, leaves, number if apart else 0))
        inner, leaves = inner + parts[-1]["nodes_splits"].size, leaves + parts[-1]["leaf_weights"].size
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    tensors = {name: numpy_helper.from_array(joined.pop(name)) for name in ("nodes_splits", "leaf_weights")}
    modes = numpy_helper.from_array(np.full(inner, LESS_OR_EQUAL, dtype=np.uint8))
    lists = {name: values.tolist() for name, values in joined.items()}
    return graph.node(
        "TreeEnsemble",
        numbers,
        domain=TREES,
        n_targets=len(trees) if apart else 1,
        aggregate_function=1,
        nodes_modes=modes,
        **tensors,
        **lists,
    )


def _attributes(tree: Tree, inner: int, leaves: int, target: int) -> dict[str, NDArray[Any]]:
    """TreeEnsemble's attributes for one tree, which follows `inner` nodes and `leaves` of earlier trees.

    `target` is the column of the output to which it adds.
    """
    if tree.leaf[0]:  # a single leaf: the operator needs a node above it
        tree = _with_root(tree)
    number = np.where(tree.leaf, leaves + np.cumsum(tree.leaf) - 1, inner + np.cumsum(~tree.leaf) - 1)
    nodes = ~tree.leaf
    left, right = tree.left[nodes], tree.right[nodes]
    return {
        "tree_roots": number[:1],
        "nodes_featureids": tree.feature[nodes],
        "nodes_splits": tree.threshold[nodes],
        "nodes_truenodeids": number[left],
        "nodes_trueleafs": tree.leaf[left].astype(np.int64),
        "nodes_falsenodeids": number[right],
        "nodes_falseleafs": tree.leaf[right].astype(np.int64),
        "nodes_missing_value_tracks_true": tree.missing_left[nodes].astype(np.int64),
        "leaf_weights": tree.value[tree.leaf],
        "leaf_targetids": np.full(int(tree.leaf.sum()), target, dtype=np.int64),
    }


def _with_root(tree: Tree) -> Tree:
    return Tree(
        leaf=np.array([False, True]),
        feature=np.zeros(2, dtype=np.int64),
        threshold=np.zeros(2, dtype=tree.threshold.dtype),
        left=np.ones(2, dtype=np.int64),
        right=np.ones(2, dtype=np.int64),
        missing_left=np.zeros(2, dtype=bool),
        value=np.repeat(tree.value[:1], 2),
        cover=np.repeat(tree.cover[:1], 2),
    )
