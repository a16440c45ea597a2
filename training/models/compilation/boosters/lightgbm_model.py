"""A model of LightGBM -> its trees, read from its text, which has 17 digits of each number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import NotCompiled
from training.models.compilation.trees import Tree

CATEGORICAL, DEFAULT_LEFT = 1, 2
"""Flags in a node's type of decision."""
NEVER_MISSING, ZERO_IS_MISSING = 0, 1
"""What is missing at a node, in the bits above these flags; the third value is NaN."""

Split = tuple[int, tuple[int, ...]]
"""A categorical feature, and the categories that go left."""
INSIDE = 0.5
"""What a split's column, which is 0 for its categories and else 1, is compared with."""


@dataclass(frozen=True)
class Model:
    """The fields of the model's text, and those of each tree: iteration by iteration, one of each class."""

    fields: Mapping[str, str]
    trees: Sequence[Mapping[str, str]]

    @property
    def objective(self) -> str:
        return self.fields.get("objective", "of your own")

    @property
    def zero_is_missing(self) -> bool:
        return any((_missing_types(fields) == ZERO_IS_MISSING).any() for fields in self.trees)

    @property
    def averages(self) -> bool:
        """Whether it is a random forest, whose prediction is the mean of its trees."""
        return "average_output" in self.fields

    @property
    def features(self) -> int:
        return int(self.fields["max_feature_idx"]) + 1

    def category_splits(self) -> list[Split]:
        """The splits by categories, without repetition, in the order of their features."""
        return sorted({split for fields in self.trees for split in _category_splits(fields).values()})


def read_model(booster: Any) -> Model:
    """The model up to its best iteration, with which it predicts. Raises NotCompiled for linear trees."""
    text = booster.model_to_string().partition("\nend of trees")[0]
    head, *trees = (_fields(part) for part in text.split("\nTree="))
    if any(tree.get("is_linear", "0") != "0" for tree in trees):
        raise NotCompiled("LightGBM with linear_tree")
    return Model(head, trees)


def tree_of(fields: Mapping[str, str], columns: Mapping[Split, int]) -> Tree:
    """Its inner nodes, then its leaves. `columns` are those of the splits by categories.

    Where values are never missing, a NaN counts as zero.
    """
    values, thresholds = _numbers(fields, "leaf_value"), _numbers(fields, "threshold")
    inner, leaves = thresholds.size, np.zeros(values.size)
    features, default_left = _integers(fields, "split_feature"), (_integers(fields, "decision_type") & DEFAULT_LEFT) > 0
    missing_left = np.where(_missing_types(fields) == NEVER_MISSING, thresholds >= 0, default_left)
    for node, split in _category_splits(fields).items():
        features[node], thresholds[node] = columns[split], INSIDE
    left, right = (_integers(fields, name) for name in ("left_child", "right_child"))
    return Tree(
        leaf=np.arange(inner + values.size) >= inner,
        feature=_joined(features, leaves),
        threshold=np.concatenate([thresholds, leaves]),
        left=_joined(np.where(left < 0, inner + ~left, left), leaves),
        right=_joined(np.where(right < 0, inner + ~right, right), leaves),
        missing_left=_joined(missing_left, leaves).astype(bool),
        value=np.concatenate([np.zeros(inner), values]),
        cover=np.concatenate([_numbers(fields, name) for name in ("internal_count", "leaf_count")])
        if inner
        else np.ones(1),
    )


def _category_splits(fields: Mapping[str, str]) -> dict[int, Split]:
    """Those of a tree by the node; its threshold is the number of a set, which has one bit for each category."""
    nodes = np.flatnonzero(_integers(fields, "decision_type") & CATEGORICAL)
    features, numbers = _integers(fields, "split_feature")[nodes], _numbers(fields, "threshold")[nodes].astype(np.int64)
    ends, words = _integers(fields, "cat_boundaries"), _integers(fields, "cat_threshold").astype("<u4")
    bits = (np.unpackbits(words[ends[each] : ends[each + 1]].view(np.uint8), bitorder="little") for each in numbers)
    sets = (tuple(np.flatnonzero(each).tolist()) for each in bits)
    return dict(zip(nodes.tolist(), zip(features.tolist(), sets, strict=True), strict=True))


def _missing_types(fields: Mapping[str, str]) -> NDArray[np.int64]:
    return _integers(fields, "decision_type") >> 2 & 3


def _fields(text: str) -> dict[str, str]:
    """The lines `name=value`, and `name` alone."""
    return {name: value for name, _, value in (line.partition("=") for line in text.splitlines())}


def _joined(inner: NDArray[Any], leaves: NDArray[Any]) -> NDArray[np.int64]:
    return np.concatenate([inner, leaves]).astype(np.int64)


def _numbers(fields: Mapping[str, str], name: str) -> NDArray[np.float64]:
    return np.array(fields.get(name, "").split(), dtype=np.float64)


def _integers(fields: Mapping[str, str], name: str) -> NDArray[np.int64]:
    return np.array(fields.get(name, "").split(), dtype=np.int64)
