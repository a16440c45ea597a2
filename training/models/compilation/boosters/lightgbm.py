"""LightGBM -> ONNX nodes: it splits and sums in double precision, and so does the graph, in the same order."""

import numpy as np

from asof.errors import NotCompiled
from training.models.compilation.boosters.lightgbm_model import Model, read_model, tree_of
from training.models.compilation.graph import Graph
from training.models.compilation.predictors.category_splits import CategorySplits
from training.models.compilation.predictors.links import sigmoid, softmax
from training.models.compilation.trees import summed

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
    splits, each_iteration = model.category_splits(), int(model.fields["num_tree_per_iteration"])
    trees = [tree_of(fields, splits) for fields in model.trees]
    numbers = _inputs(graph, model, splits)
    totals = [summed(graph, numbers, trees[code::each_iteration]) for code in range(each_iteration)]
    total = graph.node("Concat", *totals, axis=1) if len(totals) > 1 else totals[0]
    if "average_output" in model.fields:
        return graph.node("Div", total, np.array(float(len(trees) // each_iteration)))
    return total


def _inputs(graph: Graph, model: Model, splits: CategorySplits) -> str:
    """The features, with NaN for zero where that is missing, and with a column for each split by categories."""
    if not model.zero_is_missing:
        return splits.appended(graph, _with_codes(graph, splits))
    if splits.splits:
        raise NotCompiled("LightGBM with categorical features and zero_as_missing")
    numbers = graph.numbers()
    zero = graph.node("LessOrEqual", graph.node("Abs", numbers), np.array(ZERO))
    return graph.node("Where", zero, np.array(np.nan), numbers)


def _with_codes(graph: Graph, splits: CategorySplits) -> str:
    """The features; the categorical ones without what follows the decimal point, which LightGBM ignores."""
    numbers = graph.numbers()
    if not splits.known:
        return numbers
    categorical = np.isin(np.arange(splits.features), list(splits.known)).reshape(1, -1)
    codes = graph.node("Mul", graph.node("Sign", numbers), graph.node("Floor", graph.node("Abs", numbers)))
    return graph.node("Where", categorical, codes, numbers)
