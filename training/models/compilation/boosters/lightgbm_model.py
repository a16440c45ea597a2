"""A model of LightGBM -> its trees, read from its text, which has 17 digits of each number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import NotCompiled
from training.models.compilation.predictors.category_splits import THRESHOLD, CategorySplits, members
from training.models.compilation.trees import Tree

CATEGORICAL, DEFAULT_LEFT = 1, 2
"""Flags in a node's type of decision."""
NEVER_MISSING, ZERO_IS_MISSING = 0, 1
"""What is missing at a node, in the bits above these flags; the third value is NaN."""


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

    def category_splits(self) -> CategorySplits:
        """With no split yet: each tree adds its own."""
        known: dict[int, frozenset[int]] = {}
        for fields in self.trees:
            for feature, categories in _category_sets(fields).values():
                known[feature] = known.get(feature, frozenset()) | categories
        codes = {feature: np.array(sorted(categories), dtype=np.int64) for feature, categories in known.items()}
        return CategorySplits(int(self.fields["max_feature_idx"]) + 1, codes)


def read_model(booster: Any) -> Model:
    """The model up to its best iteration, with which it predicts. Raises NotCompiled for linear trees."""
    text = booster.model_to_string().partition("\nend of trees")[0]
    head, *trees = (_fields(part) for part in text.split("\nTree="))
    if any(tree.get("is_linear", "0") != "0" for tree in trees):
        raise NotCompiled("LightGBM with linear_tree")
    return Model(head, trees)


def tree_of(fields: Mapping[str, str], splits: CategorySplits) -> Tree:
    """Its inner nodes, then its leaves. Where values are never missing, a NaN counts as zero.

    A row whose category is in a node's set goes left, every other one right.
    """
    values, thresholds = _numbers(fields, "leaf_value"), _numbers(fields, "threshold")
    inner, leaves = thresholds.size, np.zeros(values.size)
    features, default_left = _integers(fields, "split_feature"), (_integers(fields, "decision_type") & DEFAULT_LEFT) > 0
    missing_left = np.where(_missing_types(fields) == NEVER_MISSING, thresholds >= 0, default_left)
    for node, each in _category_sets(fields).items():
        features[node], thresholds[node], missing_left[node] = splits.column(*each), THRESHOLD, False
    left, right = (_integers(fields, name) for name in ("left_child", "right_child"))
    return Tree(
        leaf=np.arange(inner + values.size) >= inner,
        feature=_joined(features, leaves),
        threshold=np.concatenate([thresholds, leaves]),
        left=_joined(np.where(left < 0, inner + ~left, left), leaves),
        right=_joined(np.where(right < 0, inner + ~right, right), leaves),
        missing_left=_joined(missing_left, leaves).astype(bool),
        value=np.concatenate([np.zeros(inner), values]),
    )


def _category_sets(fields: Mapping[str, str]) -> dict[int, tuple[int, frozenset[int]]]:
    """The feature and the categories of each node that splits by them; the threshold is the number of its set."""
    nodes = np.flatnonzero(_integers(fields, "decision_type") & CATEGORICAL)
    features, numbers = _integers(fields, "split_feature"), _numbers(fields, "threshold")[nodes].astype(np.int64)
    ends, words = _integers(fields, "cat_boundaries"), _integers(fields, "cat_threshold").astype(np.uint32)
    sets = (members(words[ends[number] : ends[number + 1]]) for number in numbers)
    return {int(node): (int(features[node]), each) for node, each in zip(nodes, sets, strict=True)}


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
