"""LightGBM -> ONNX nodes: it splits and sums in double precision, and so does the graph, in the same order.

The trees are read from the model's text, which has 17 digits of each number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import NotCompiled
from training.models.compilation.graph import Graph
from training.models.compilation.predictors.links import sigmoid, softmax
from training.models.compilation.trees import Tree, summed

ZERO = float(np.float32(1e-35))
"""LightGBM's limit of what is zero, where zero is missing."""
NEVER_MISSING, ZERO_IS_MISSING = 0, 1
"""Values of a node's type of missing values; the third is NaN."""
IDENTITY = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")
EXPONENTIAL = ("poisson", "gamma", "tweedie")


@dataclass(frozen=True)
class Model:
    """The fields of the model's text, and those of each tree: iteration by iteration, one of each class."""

    fields: Mapping[str, str]
    trees: Sequence[Mapping[str, str]]

    @property
    def objective(self) -> str:
        return self.fields.get("objective", "of your own")


def classifier(graph: Graph) -> None:
    """LGBMClassifier: the sigmoid of the sum of the trees, or the softmax of one for each class.

    Raises NotCompiled for other objectives, categorical features and linear trees.
    """
    model = _read(graph)
    total, (name, *options) = _scores(graph, model), model.objective.split()
    if name == "binary" and options == ["sigmoid:1"]:
        graph.output_probabilities(sigmoid(graph, total))
    elif name == "multiclass":
        graph.output_classes(softmax(graph, total))
    else:
        raise NotCompiled(f"LGBMClassifier with the objective {model.objective}")


def scores(graph: Graph) -> str:
    """LGBMClassifier's decision function: the sum of the trees, shape (rows, 1), or one for each class."""
    return _scores(graph, _read(graph))


def regressor(graph: Graph) -> None:
    """LGBMRegressor: the sum of the trees, or its exponential. Raises NotCompiled as `classifier` does."""
    model = _read(graph)
    total, (name, *options) = _scores(graph, model), model.objective.split()
    if name in EXPONENTIAL:
        graph.output(graph.node("Exp", total))
    elif name in IDENTITY and "sqrt" not in options:
        graph.output(total)
    else:
        raise NotCompiled(f"LGBMRegressor with the objective {model.objective}")


def _read(graph: Graph) -> Model:
    """The model up to its best iteration, which is what it predicts with."""
    if graph.part.get_params().get("pred_early_stop"):
        raise NotCompiled("LightGBM with pred_early_stop")
    text = graph.part.booster_.model_to_string().partition("\nend of trees")[0]
    head, *trees = (_fields(part) for part in text.split("\nTree="))
    if any(tree["num_cat"] != "0" for tree in trees):
        raise NotCompiled("LightGBM with categorical features: encode them, as with OneHotEncoder")
    if any(tree.get("is_linear", "0") != "0" for tree in trees):
        raise NotCompiled("LightGBM with linear_tree")
    return Model(head, trees)


def _fields(text: str) -> dict[str, str]:
    """The lines `name=value`, and `name` alone."""
    return {name: value for name, _, value in (line.partition("=") for line in text.splitlines())}


def _scores(graph: Graph, model: Model) -> str:
    """The sum of the trees, shape (rows, 1), or one for each class; random forests take the mean."""
    numbers, each_iteration = graph.numbers(), int(model.fields["num_tree_per_iteration"])
    trees = [_tree(fields) for fields in model.trees]
    if any((_missing_types(fields) == ZERO_IS_MISSING).any() for fields in model.trees):
        numbers = _zero_as_nan(graph, numbers)
    totals = [summed(graph, numbers, trees[code::each_iteration]) for code in range(each_iteration)]
    total = graph.node("Concat", *totals, axis=1) if len(totals) > 1 else totals[0]
    if "average_output" in model.fields:
        return graph.node("Div", total, np.array(float(len(trees) // each_iteration)))
    return total


def _zero_as_nan(graph: Graph, numbers: str) -> str:
    zero = graph.node("LessOrEqual", graph.node("Abs", numbers), np.array(ZERO))
    return graph.node("Where", zero, np.array(np.nan), numbers)


def _tree(fields: Mapping[str, str]) -> Tree:
    """Its inner nodes, then its leaves. Where values are never missing, a NaN counts as zero."""
    values, thresholds = _numbers(fields, "leaf_value"), _numbers(fields, "threshold")
    inner, leaves = thresholds.size, np.zeros(values.size)
    default_left = (_integers(fields, "decision_type") & 2) > 0
    missing_left = np.where(_missing_types(fields) == NEVER_MISSING, thresholds >= 0, default_left)
    left, right = (_integers(fields, name) for name in ("left_child", "right_child"))
    return Tree(
        leaf=np.arange(inner + values.size) >= inner,
        feature=_joined(_integers(fields, "split_feature"), leaves),
        threshold=np.concatenate([thresholds, leaves]),
        left=_joined(np.where(left < 0, inner + ~left, left), leaves),
        right=_joined(np.where(right < 0, inner + ~right, right), leaves),
        missing_left=_joined(missing_left, leaves).astype(bool),
        value=np.concatenate([np.zeros(inner), values]),
    )


def _missing_types(fields: Mapping[str, str]) -> NDArray[np.int64]:
    return _integers(fields, "decision_type") >> 2 & 3


def _joined(inner: NDArray[Any], leaves: NDArray[Any]) -> NDArray[np.int64]:
    return np.concatenate([inner, leaves]).astype(np.int64)


def _numbers(fields: Mapping[str, str], name: str) -> NDArray[np.float64]:
    return np.array(fields.get(name, "").split(), dtype=np.float64)


def _integers(fields: Mapping[str, str], name: str) -> NDArray[np.int64]:
    return np.array(fields.get(name, "").split(), dtype=np.int64)
