"""LightGBM -> ONNX nodes: it splits and sums in double precision, and so does the graph, in the same order."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np

from asof.errors import NotCompiled
from training.models.compilation.boosters.lightgbm_model import Model, Split, read_model, tree_of
from training.models.compilation.graph import DOUBLE, Graph
from training.models.compilation.predictors.links import sigmoid, softmax
from training.models.compilation.trees import Tree, summed

ZERO = float(np.float32(1e-35))
"""LightGBM's limit of what is zero, where zero is missing."""
IDENTITY = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")
EXPONENTIAL = ("poisson", "gamma", "tweedie")


def classifier(graph: Graph) -> None:
    """LGBMClassifier: the sigmoid of the sum of the trees, or the softmax of one for each class.

    Raises NotCompiled for other objectives, and for linear trees.
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
    if graph.part.get_params().get("pred_early_stop"):
        raise NotCompiled("LightGBM with pred_early_stop")
    return read_model(graph.part.booster_)


def _scores(graph: Graph, model: Model) -> str:
    """The sum of the trees, shape (rows, 1), or one for each class; random forests take the mean."""
    numbers, trees, _ = _numbers_and_trees(graph, model)
    totals = [summed(graph, numbers, each) for each in trees]
    total = graph.node("Concat", *totals, axis=1) if len(totals) > 1 else totals[0]
    return graph.node("Div", total, np.array(float(len(trees[0])))) if model.averages else total


def numbers_and_trees(graph: Graph) -> tuple[str, list[list[Tree]], list[int], float]:
    """The columns of the trees, the trees of each class, for each column the feature that it splits by, and by what a
    sum is divided."""
    model = _read(graph)
    numbers, trees, features = _numbers_and_trees(graph, model)
    return numbers, trees, features, float(len(trees[0])) if model.averages else 1.0


def _numbers_and_trees(graph: Graph, model: Model) -> tuple[str, list[list[Tree]], list[int]]:
    splits, each_iteration = model.category_splits(), int(model.fields["num_tree_per_iteration"])
    columns = {split: model.features + number for number, split in enumerate(splits)}
    trees = [tree_of(fields, columns) for fields in model.trees]
    of_classes = [trees[code::each_iteration] for code in range(each_iteration)]
    return _inputs(graph, model, splits), of_classes, [*range(model.features), *(feature for feature, _ in splits)]


def _inputs(graph: Graph, model: Model, splits: Sequence[Split]) -> str:
    """The features, with NaN for zero where that is missing, then a column for each split by categories."""
    numbers = graph.numbers()
    if splits and model.zero_is_missing:
        raise NotCompiled("LightGBM with categorical features and zero_as_missing")
    if model.zero_is_missing:
        zero = graph.node("LessOrEqual", graph.node("Abs", numbers), np.array(ZERO))
        return graph.node("Where", zero, np.array(np.nan), numbers)
    columns = [_outside(graph, numbers, *each) for each in groupby(splits, key=itemgetter(0))]
    return graph.node("Concat", numbers, *columns, axis=1) if columns else numbers


def _outside(graph: Graph, numbers: str, feature: int, splits: Iterable[Split]) -> str:
    """The columns of a feature's splits: 0 for their categories, 1 for others, unknown and missing ones.

    LightGBM ignores what follows a category's decimal point.
    """
    sets = [categories for _, categories in splits]
    known = sorted(set().union(*sets))
    column = graph.node("Gather", numbers, np.array([feature]), axis=1)
    codes = graph.node("Mul", graph.node("Sign", column), graph.node("Floor", graph.node("Abs", column)))
    flags = graph.node("Cast", graph.node("Equal", codes, np.array([known], dtype=np.float64)), to=DOUBLE)
    inside = graph.node("MatMul", flags, np.array([[float(code in each) for each in sets] for code in known]))
    return graph.node("Sub", np.array(1.0), inside)
