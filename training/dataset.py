"""entities + labels as of a moment -> TrainingSet, through Feast's point-in-time join."""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asof.feature_contract import FeatureContract, model_frame
from training.split import held_out


@dataclass(frozen=True)
class TrainingSet:
    """One row per entity, sorted by entity: entity key, features in the contract's order, label (bool).

    `as_of` is the moment that features and labels describe, `known_at` the moment up to which rows were known,
    `fingerprint` a SHA-256 over every cell and what defined them.
    """

    frame: pd.DataFrame
    contract: FeatureContract
    label: str
    as_of: datetime
    known_at: datetime
    fingerprint: str

    @property
    def entities(self) -> "pd.Series[str]":
        """The entity keys, shape (rows,)."""
        return self.frame[self.contract.entity]

    @property
    def features(self) -> pd.DataFrame:
        """The model's input, shape (rows, features)."""
        return model_frame(self.frame, self.contract)

    @property
    def labels(self) -> NDArray[np.int64]:
        """0 or 1, shape (rows,)."""
        return self.frame[self.label].to_numpy(dtype=np.int64)

    def complete(self) -> "TrainingSet":
        """Only the rows that the service would score: no feature missing."""
        return self._rows(self.features.notna().all(axis="columns").to_numpy())

    def split(self, share: float) -> "tuple[TrainingSet, TrainingSet]":
        """The training side and the held-out side, by a stable hash of the entity."""
        out = held_out(self.entities, share)
        return self._rows(~out), self._rows(out)

    def _rows(self, mask: NDArray[np.bool_]) -> "TrainingSet":
        return replace(self, frame=self.frame.loc[mask].reset_index(drop=True))
