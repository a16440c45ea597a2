"""A model of CatBoost -> its trees, read from its JSON.

Oblivious trees, the usual ones, have the same split at all nodes of a level. Others are nested.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import NotCompiled
from training.models.compilation.trees import Tree


@dataclass(frozen=True)
class Model:
    """`columns` and `missing_left` are of its features: the column, and whether a missing value goes left.

    `scale` and `biases`, one of each class, change the sums of the trees.
    """

    trees: Sequence[Mapping[str, Any]]
    columns: Sequence[int]
    missing_left: Sequence[bool]
    scale: float
    biases: Sequence[float]

    def trees_of(self, code: int) -> Iterator[Tree]:
        """The trees whose leaves have the values of a class by its code, scaled."""
        for fields in self.trees:
            yield self._oblivious(fields, code) if "splits" in fields else self._nested(fields, code)

    def _oblivious(self, fields: Mapping[str, Any], code: int) -> Tree:
        """Level by level; the root has the last split, which is the highest bit of a leaf's number."""
        splits = fields["splits"][::-1]
        inner = 2 ** len(splits) - 1
        nodes, rest = np.arange(2 * inner + 1), np.zeros(inner + 1)
        level = np.log2(nodes[:inner] + 1).astype(np.int64)
        used = np.array([split["float_feature_index"] for split in splits], dtype=np.int64)
        borders = np.array([split["border"] for split in splits], dtype=np.float64)
        values = np.array(fields["leaf_values"], dtype=np.float64)[code :: len(self.biases)]
        return Tree(
            leaf=nodes >= inner,
            feature=np.concatenate([np.array(self.columns)[used][level], rest]).astype(np.int64),
            threshold=np.concatenate([borders[level], rest]),
            left=np.minimum(2 * nodes + 1, 2 * inner),
            right=np.minimum(2 * nodes + 2, 2 * inner),
            missing_left=np.concatenate([np.array(self.missing_left)[used][level], rest]).astype(bool),
            value=self.scale * np.concatenate([np.zeros(inner), values]),
            cover=_covers(np.array(fields["leaf_weights"], dtype=np.float64)),
        )

    def _nested(self, fields: Mapping[str, Any], code: int) -> Tree:
        nodes, lefts = [fields], []
        for node in nodes:  # the list grows by the children of each
            lefts.append(len(nodes))
            nodes += [node["left"], node["right"]] if "split" in node else []
        left, last = np.array(lefts), len(nodes) - 1
        used = np.array([node["split"]["float_feature_index"] if "split" in node else 0 for node in nodes])
        return Tree(
            leaf=np.array(["split" not in node for node in nodes]),
            feature=np.array(self.columns, dtype=np.int64)[used],
            threshold=np.array([node["split"]["border"] if "split" in node else 0.0 for node in nodes]),
            left=np.minimum(left, last),
            right=np.minimum(left + 1, last),
            missing_left=np.array(self.missing_left)[used],
            value=self.scale * np.array([np.ravel(node["value"])[code] if "value" in node else 0.0 for node in nodes]),
            cover=_nested_covers(nodes, left),
        )


def _covers(leaves: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weights of all nodes of a tree of full levels, from those of its leaves."""
    levels = [leaves]
    while levels[0].size > 1:
        levels.insert(0, levels[0].reshape(-1, 2).sum(axis=1))
    return np.concatenate(levels)


def _nested_covers(nodes: Sequence[Mapping[str, Any]], left: NDArray[np.int64]) -> NDArray[np.float64]:
    """Those of nodes that follow their parent; `left` is the place of the left child, the other follows it."""
    covers = np.array([float(node.get("weight", 0.0)) for node in nodes])
    for place in reversed(range(len(nodes))):
        if "split" in nodes[place]:
            covers[place] = covers[left[place]] + covers[left[place] + 1]
    return covers


def read_model(estimator: Any) -> Model:
    """Raises NotCompiled where the model takes other features than numbers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        estimator.save_model(str(path), format="json")
        model: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if {*model["features_info"]} != {"float_features"}:
        raise NotCompiled("CatBoost with categorical features, texts or embeddings: encode them, as with OneHotEncoder")
    features = model["features_info"]["float_features"]
    scale, biases = model["scale_and_bias"]
    return Model(
        model["oblivious_trees"] if "oblivious_trees" in model else model["trees"],
        columns=[feature["flat_feature_index"] for feature in features],
        missing_left=[feature["nan_value_treatment"] != "AsTrue" for feature in features],
        scale=float(scale),
        biases=[float(bias) for bias in biases],
    )
