"""TrainingSet: the rows that a model learns from and is measured on, and what they are as of."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asof.feature_contract import Compute, FeatureContract, model_frame, model_input
from asof.model_facts import Split
from training.split import held_out

FRAME_TYPES = {"Bool": "boolean", "Int64": "Int64", "Float64": "float64", "String": "object"}
"""Feast's types as columns of a TrainingSet's frame: each can hold a missing value without changing its type."""


@dataclass(frozen=True)
class TrainingSet:
    """One row per entity, sorted by entity: entity key, features in the contract's order, label (bool).

    `as_of` is the moment that features and labels describe, `known_at` the moment up to which rows were known,
    `fingerprint` a SHA-256 over every cell and what defined them. `derived` are the columns that the use case computes
    from the features.
    """

    frame: pd.DataFrame
    contract: FeatureContract
    label: str
    as_of: datetime
    known_at: datetime
    fingerprint: str
    derived: Mapping[str, Compute] = field(default_factory=dict)

    @property
    def entities(self) -> "pd.Series[str]":
        """The entity keys, shape (rows,)."""
        return self.frame[self.contract.entity]

    @property
    def features(self) -> pd.DataFrame:
        """The model's input, shape (rows, features + derived)."""
        return model_input(self.frame, self.contract, self.derived)

    @property
    def labels(self) -> NDArray[np.int64]:
        """0 or 1, shape (rows,)."""
        return self.frame[self.label].to_numpy(dtype=np.int64)

    def complete(self) -> "TrainingSet":
        """Only the rows that the service would score: no feature missing."""
        given = model_frame(self.frame, self.contract).notna()
        return self._rows(given.all(axis="columns").to_numpy())

    def split(self, split: Split) -> "tuple[TrainingSet, TrainingSet]":
        """The training side and the held-out side."""
        out = held_out(self.entities, self.labels, split)
        return self._rows(~out), self._rows(out)

    def _rows(self, mask: NDArray[np.bool_]) -> "TrainingSet":
        return replace(self, frame=self.frame.loc[mask].reset_index(drop=True))


def canonical(rows: pd.DataFrame, contract: FeatureContract, label: str) -> pd.DataFrame:
    """One order of rows and columns, one type for each column, whatever a library or driver made of them."""
    types = {feature.name: FRAME_TYPES[feature.dtype] for feature in contract.features}
    frame = rows[[contract.entity, *types, label]].astype({contract.entity: "object", **types, label: "bool"})
    return frame.sort_values(contract.entity, kind="stable", ignore_index=True)
