"""Classifiers of two classes -> ONNX nodes in double precision: regression, trees, forests and boosting.

Trees are summed in scikit-learn's order, and from its start, so that equal votes stay equal to the last digit: a
threshold is one of the values that a model gives, and a digit decides on which side of it a row falls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import NotCompiled
from training.models.compilation.graph import TREES, Graph

LESS_OR_EQUAL = 0
"""The comparison of every node, as the operator counts them."""


@dataclass(frozen=True)
class Tree:
    """A tree's nodes in scikit-learn's order, each array of shape (nodes,). `left` of a leaf is never looked at.

    A row goes to the left where its feature is not above the threshold, or is missing and `missing_left` says so.
    """

    leaf: NDArray[np.bool_]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.float64]


def regression(graph: Graph) -> None:
    """LogisticRegression: the sigmoid of a weighted sum.

    scikit-learn refuses infinite numbers, also where a transformer made them. The sum minus itself is 0, and makes an
    infinite one NaN, which is no answer.
    """
    weights, start = graph.part.coef_.T, graph.part.intercept_.reshape(1, -1)
    total = graph.node("Add", graph.node("MatMul", graph.numbers(), weights), start)
    finite = graph.node("Add", total, graph.node("Sub", total, total))
    graph.give_probabilities(_sigmoid(graph, finite))


def tree(graph: Graph) -> None:
    """DecisionTreeClassifier: the share of class 1 in a row's leaf."""
    graph.give_probabilities(_summed(graph, _single(graph), [_grown(graph.part)]))


def forest(graph: Graph) -> None:
    """RandomForestClassifier and ExtraTreesClassifier: the mean of their trees."""
    trees = [_grown(each) for each in graph.part.estimators_]
    total = _summed(graph, _single(graph), trees)
    graph.give_probabilities(graph.node("Div", total, np.array(float(len(trees)))))


def boosting(graph: Graph) -> None:
    """HistGradientBoostingClassifier: the sigmoid of the base value and what each tree adds.

    Raises NotCompiled where it takes categories.
    """
    if getattr(graph.part, "is_categorical_", None) is not None:
        raise NotCompiled("HistGradientBoostingClassifier with categorical features")
    trees = [_boosted(predictor.nodes) for (predictor,) in graph.part._predictors]
    base = float(graph.part._baseline_prediction.item())
    first = Tree(**{**vars(trees[0]), "value": base + trees[0].value})  # what the sum begins with
    graph.give_probabilities(_sigmoid(graph, _summed(graph, graph.numbers(), [first, *trees[1:]])))


def _sigmoid(graph: Graph, value: str) -> str:
    """As SciPy's `expit`: 1 / (1 + exp(-x)). The operator of the name loses digits."""
    one = np.array(1.0)
    return graph.node("Div", one, graph.node("Add", one, graph.node("Exp", graph.node("Neg", value))))


def _single(graph: Graph) -> str:
    """Trees take their features in single precision and compare them with thresholds in double."""
    from onnx import TensorProto

    single = graph.node("Cast", graph.numbers(), to=TensorProto.FLOAT)
    return graph.node("Cast", single, to=TensorProto.DOUBLE)


def _grown(fitted: Any) -> Tree:
    """Of one that scikit-learn's tree builder has grown."""
    nodes = fitted.tree_
    return Tree(
        leaf=nodes.children_left < 0,
        feature=nodes.feature,
        threshold=nodes.threshold,
        left=nodes.children_left,
        right=nodes.children_right,
        missing_left=nodes.missing_go_to_left.astype(bool),
        value=nodes.value[:, 0, 1],
    )


def _boosted(nodes: NDArray[Any]) -> Tree:
    """Of the record array that histogram boosting keeps."""
    return Tree(
        leaf=nodes["is_leaf"].astype(bool),
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        value=nodes["value"],
    )


def _summed(graph: Graph, numbers: str, trees: Sequence[Tree]) -> str:
    """The sum of the trees' leaves, one after the other; shape (rows, 1)."""
    from onnx import numpy_helper

    parts, inner, leaves = [], 0, 0
    for each in trees:
        parts.append(_numbered(each, inner, leaves))
        inner, leaves = inner + parts[-1]["nodes_splits"].size, leaves + parts[-1]["leaf_weights"].size
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    tensors = {name: numpy_helper.from_array(joined.pop(name)) for name in ("nodes_splits", "leaf_weights")}
    modes = numpy_helper.from_array(np.full(inner, LESS_OR_EQUAL, dtype=np.uint8))
    lists = {name: values.tolist() for name, values in joined.items()}
    return graph.node(
        "TreeEnsemble", numbers, domain=TREES, n_targets=1, aggregate_function=1, nodes_modes=modes, **tensors, **lists
    )


def _numbered(grown: Tree, inner: int, leaves: int) -> dict[str, NDArray[Any]]:
    """The operator's attributes for one tree: inner nodes and leaves are numbered apart, on from those before it."""
    if grown.leaf[0]:  # a tree of one leaf: a node both of whose ways lead there
        grown = _with_root(grown)
    number = np.where(grown.leaf, leaves + np.cumsum(grown.leaf) - 1, inner + np.cumsum(~grown.leaf) - 1)
    nodes = ~grown.leaf
    left, right = grown.left[nodes], grown.right[nodes]
    return {
        "tree_roots": number[:1],
        "nodes_featureids": grown.feature[nodes],
        "nodes_splits": grown.threshold[nodes].astype(np.float64),
        "nodes_truenodeids": number[left],
        "nodes_trueleafs": grown.leaf[left].astype(np.int64),
        "nodes_falsenodeids": number[right],
        "nodes_falseleafs": grown.leaf[right].astype(np.int64),
        "nodes_missing_value_tracks_true": grown.missing_left[nodes].astype(np.int64),
        "leaf_weights": grown.value[grown.leaf].astype(np.float64),
        "leaf_targetids": np.zeros(int(grown.leaf.sum()), dtype=np.int64),
    }


def _with_root(grown: Tree) -> Tree:
    return Tree(
        leaf=np.array([False, True]),
        feature=np.zeros(2, dtype=np.int64),
        threshold=np.zeros(2),
        left=np.ones(2, dtype=np.int64),
        right=np.ones(2, dtype=np.int64),
        missing_left=np.zeros(2, dtype=bool),
        value=np.repeat(grown.value[:1], 2),
    )
