"""CatBoost -> ONNX nodes: it splits in single precision and sums in double, in order, and so does the graph."""

from collections.abc import Sequence

import numpy as np

from asof.errors import NotCompiled
from training.models.compilation.boosters.catboost_model import read_model
from training.models.compilation.graph import DOUBLE, SINGLE, Graph
from training.models.compilation.predictors.links import sigmoid, softmax
from training.models.compilation.trees import Tree, summed

IDENTITY = ("RMSE", "MAE", "Quantile", "Huber", "MAPE", "LogCosh", "Expectile", "Lq")
EXPONENTIAL = ("Poisson", "Tweedie")


def classifier(graph: Graph) -> None:
    """CatBoostClassifier: the sigmoid of the sum of the trees, or the softmax of one for each class.

    Raises NotCompiled for other losses, and for other features than numbers.
    """
    total, loss = _scores(graph), _loss(graph)
    if loss in ("Logloss", "CrossEntropy"):
        graph.output_probabilities(sigmoid(graph, total))
    elif loss == "MultiClass":
        graph.output_classes(softmax(graph, total))
    else:
        raise NotCompiled(f"CatBoostClassifier with loss_function={loss!r}")


def regressor(graph: Graph) -> None:
    """CatBoostRegressor: the sum of the trees, or its exponential. Raises NotCompiled as `classifier` does."""
    total, loss = _scores(graph), _loss(graph)
    if loss in EXPONENTIAL:
        graph.output(graph.node("Exp", total))
    elif loss in IDENTITY:
        graph.output(total)
    else:
        raise NotCompiled(f"CatBoostRegressor with loss_function={loss!r}")


def _loss(graph: Graph) -> str:
    """The loss without its options, as of `Quantile:alpha=0.9`."""
    return str(graph.part.get_all_params()["loss_function"]).partition(":")[0]


def _scores(graph: Graph) -> str:
    """The sum of the trees and their bias, shape (rows, 1), or one for each class."""
    numbers, trees, biases = numbers_and_trees(graph)
    sums = [summed(graph, numbers, each) for each in trees]
    totals = [graph.node("Add", total, np.array(bias)) for total, bias in zip(sums, biases, strict=True)]
    return graph.node("Concat", *totals, axis=1) if len(totals) > 1 else totals[0]


def numbers_and_trees(graph: Graph) -> tuple[str, list[list[Tree]], Sequence[float]]:
    """The columns of the trees, the trees of each class, and its bias."""
    model = read_model(graph.part)
    numbers = graph.node("Cast", graph.node("Cast", graph.numbers(), to=SINGLE), to=DOUBLE)
    return numbers, [list(model.trees_of(code)) for code in range(len(model.biases))], model.biases
