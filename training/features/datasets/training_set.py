"""TrainingSet: the rows for training and evaluation, with their moments, contract and digests."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as arrow
from numpy.typing import NDArray

from asof.features.feature_contract import Compute, FeatureContract, model_frame, model_input
from asof.model_facts import Split
from training.features.datasets.rows_digest import TYPES
from training.features.datasets.split import held_out

if TYPE_CHECKING:
    import pandas as pd

FRAME_TYPES = {"Bool": "boolean", "Int64": "Int64", "Float64": "float64", "String": "object"}
"""The pandas type of a TrainingSet's column for each Feast type; all hold missing values."""


@dataclass(frozen=True)
class TrainingSet:
    """One row per entity, sorted by entity: entity key, features in the contract's order, label (bool).

    `as_of` is the moment that features and labels describe, `known_at` the moment up to which rows were known.
    `rows_digest` is a SHA-256 over every cell, `fingerprint` one over that and the definition of the rows; a part of a
    set keeps those of the whole. `definition` is the SQL of the rows, empty if they come from no database. `derived`
    are the columns that the use case computes from the features.
    """

    frame: "pd.DataFrame"
    contract: FeatureContract
    label: str
    as_of: datetime
    known_at: datetime
    fingerprint: str
    rows_digest: str
    definition: str = ""
    derived: Mapping[str, Compute] = field(default_factory=dict)

    @property
    def entities(self) -> "pd.Series[str]":
        """The entity keys, shape (rows,)."""
        return self.frame[self.contract.entity]

    @property
    def features(self) -> "pd.DataFrame":
        """The model's input, shape (rows, features + derived)."""
        return model_input(self.frame, self.contract, self.derived)

    @property
    def labels(self) -> NDArray[np.int64]:
        """0 or 1, shape (rows,)."""
        return self.frame[self.label].to_numpy(dtype=np.int64)

    def complete(self) -> "TrainingSet":
        """Only the rows that the service would score: no feature missing or infinite."""
        features = model_frame(self.frame, self.contract)
        finite = features.notna() & ~features.isin([np.inf, -np.inf])
        return self._rows(finite.all(axis="columns").to_numpy())

    def split(self, split: Split) -> "tuple[TrainingSet, TrainingSet]":
        """The training rows and the held-out rows."""
        out = held_out(self.entities, self.labels, split)
        return self._rows(~out), self._rows(out)

    def _rows(self, mask: NDArray[np.bool_]) -> "TrainingSet":
        return replace(self, frame=self.frame.loc[mask].reset_index(drop=True))


def column_types(contract: FeatureContract, label: str) -> dict[str, str]:
    """The Feast type of each column of a frame, in order."""
    features = {feature.name: feature.dtype for feature in contract.features}
    return {contract.entity: "String", **features, label: "Bool"}


def canonical_frame(rows: "pd.DataFrame", contract: FeatureContract, label: str) -> "pd.DataFrame":
    """Rows sorted by entity, columns in the contract's order with the types of FRAME_TYPES."""
    types = {feature.name: FRAME_TYPES[feature.dtype] for feature in contract.features}
    frame = rows[[contract.entity, *types, label]].astype({contract.entity: "object", **types, label: "bool"})
    if frame[contract.entity].is_monotonic_increasing:  # PostgreSQL has sorted them; again takes seconds
        return frame.reset_index(drop=True)
    return frame.sort_values(contract.entity, kind="stable", ignore_index=True)


def frame_of(rows: arrow.Table, contract: FeatureContract, label: str) -> "pd.DataFrame":
    """Typed rows as a canonical frame, in which both a Float64's null and its NaN are missing values."""
    import pandas as pd

    types = {arrow.bool_(): pd.BooleanDtype(), arrow.int64(): pd.Int64Dtype()}
    return canonical_frame(rows.to_pandas(types_mapper=types.get), contract, label)


def table_of(frame: "pd.DataFrame", contract: FeatureContract, label: str) -> arrow.Table:
    """A canonical frame as typed rows, every missing value null."""
    types = column_types(contract, label)
    schema = arrow.schema({name: TYPES[feast_type] for name, feast_type in types.items()})
    return arrow.Table.from_pandas(frame, schema, preserve_index=False)
