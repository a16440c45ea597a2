"""CatBoost -> ONNX nodes: it splits in single precision and sums in double, and so does the graph, in the same order.

A tree is oblivious: the nodes of a level have the same split, and a leaf's number has one bit for each level.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from asof.errors import NotCompiled
from training.models.compilation.graph import Graph
from training.models.compilation.predictors.links import sigmoid, softmax
from training.models.compilation.trees import Tree, single_precision, summed

IDENTITY = ("RMSE", "MAE", "Quantile", "Huber", "MAPE", "LogCosh", "Expectile", "Lq")
EXPONENTIAL = ("Poisson", "Tweedie")


def classifier(graph: Graph) -> None:
    """CatBoostClassifier: the sigmoid of the sum of the trees, or the softmax of one for each class.

    Raises NotCompiled for other losses, other features than numbers, and other trees than oblivious ones.
    """
    model, loss = _read(graph), _loss(graph)
    totals = _totals(graph, model)
    if loss in ("Logloss", "CrossEntropy"):
        graph.output_probabilities(sigmoid(graph, totals[0]))
    elif loss == "MultiClass":
        graph.output_classes(softmax(graph, graph.node("Concat", *totals, axis=1)))
    else:
        raise NotCompiled(f"CatBoostClassifier with loss_function={loss!r}")


def regressor(graph: Graph) -> None:
    """CatBoostRegressor: the sum of the trees, or its exponential. Raises NotCompiled as `classifier` does."""
    model, loss = _read(graph), _loss(graph)
    total = _totals(graph, model)[0]
    if loss in EXPONENTIAL:
        graph.output(graph.node("Exp", total))
    elif loss in IDENTITY:
        graph.output(total)
    else:
        raise NotCompiled(f"CatBoostRegressor with loss_function={loss!r}")


def _read(graph: Graph) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        graph.part.save_model(str(path), format="json")
        model: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "oblivious_trees" not in model:
        raise NotCompiled("CatBoost with another grow_policy than 'SymmetricTree'")
    if {*model["features_info"]} != {"float_features"}:
        raise NotCompiled("CatBoost with categorical features, texts or embeddings: encode them, as with OneHotEncoder")
    return model


def _loss(graph: Graph) -> str:
    """The loss without its options, as of `Quantile:alpha=0.9`."""
    return str(graph.part.get_all_params()["loss_function"]).partition(":")[0]


def _totals(graph: Graph, model: Mapping[str, Any]) -> list[str]:
    """The sum of the trees for each class, shape (rows, 1), scaled and with its bias."""
    scale, biases = model["scale_and_bias"]
    features = model["features_info"]["float_features"]
    missing_left = [feature["nan_value_treatment"] != "AsTrue" for feature in features]
    columns = [feature["flat_feature_index"] for feature in features]
    numbers, totals = single_precision(graph), []
    for code, bias in enumerate(biases):
        trees = [_tree(tree, code, len(biases), columns, missing_left) for tree in model["oblivious_trees"]]
        total = summed(graph, numbers, [replace(tree, value=scale * tree.value) for tree in trees])
        totals.append(graph.node("Add", total, np.array(float(bias))))
    return totals


def _tree(fields: Mapping[str, Any], code: int, classes: int, columns: list[int], missing_left: list[bool]) -> Tree:
    """A complete binary tree, level by level; the root has the last split, which is a leaf number's highest bit."""
    splits = fields["splits"][::-1]
    inner = 2 ** len(splits) - 1
    nodes = np.arange(2 * inner + 1)
    level = np.log2(nodes[:inner] + 1).astype(np.int64)
    used = np.array([split["float_feature_index"] for split in splits], dtype=np.int64)
    borders = np.array([split["border"] for split in splits], dtype=np.float64)
    values = np.array(fields["leaf_values"], dtype=np.float64)[code::classes]
    rest = np.zeros(inner + 1)
    return Tree(
        leaf=nodes >= inner,
        feature=np.concatenate([np.array(columns)[used][level], rest]).astype(np.int64),
        threshold=np.concatenate([borders[level], rest]),
        left=np.minimum(2 * nodes + 1, 2 * inner),
        right=np.minimum(2 * nodes + 2, 2 * inner),
        missing_left=np.concatenate([np.array(missing_left)[used][level], rest]).astype(bool),
        value=np.concatenate([np.zeros(inner), values]),
    )
