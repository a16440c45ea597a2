"""TrainingSet: the rows for training and evaluation, with their moments, contract and digests."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as arrow
from numpy.typing import NDArray

from asof.extracts.schema import Kind
from asof.features.feature_contract import Compute, FeatureContract, model_frame, model_input
from asof.features.join_keys import JoinKeys
from asof.model_facts import Split
from asof.targets import FALSE_AND_TRUE, Target
from training.features.datasets.rows_digest import ACCEPTED_TYPES, TYPES
from training.features.datasets.split import held_out
from training.targets import rules_of
from training.targets.rules import Labels

if TYPE_CHECKING:
    import pandas as pd

FRAME_TYPES = {"Bool": "boolean", "Int64": "Int64", "Float64": "float64", "String": "object"}
"""The pandas type of a TrainingSet's column for each Feast type; all hold missing values."""
KEY_FRAME_TYPES = {"Int64": "int64", "String": "object"}
"""The same for keys, which are never missing."""
LABEL_FRAME_TYPES = {"Bool": "bool", "Float64": "float64", "String": "object"}
"""The same for labels."""


@dataclass(frozen=True)
class TrainingSet:
    """One row per entity, sorted by its keys: keys, features in the contract's order, label (of `target`).

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
    target: Target = FALSE_AND_TRUE

    @property
    def entities(self) -> "pd.Series[Any]":
        """The entities, shape (rows,): keys, or tuples of several."""
        names = [*self.contract.keys.names]
        if len(names) == 1:
            return self.frame[names[0]]
        import pandas as pd

        return pd.Series(list(self.frame[names].itertuples(index=False, name=None)), self.frame.index, dtype=object)

    @property
    def features(self) -> "pd.DataFrame":
        """The model's input, shape (rows, features + derived)."""
        return model_input(self.frame, self.contract, self.derived)

    @property
    def labels(self) -> Labels:
        """The codes of classes, or numbers; shape (rows,). Raises TrainingSetError for others."""
        return rules_of(self.target).encode(self.frame[self.label])

    def complete(self) -> "TrainingSet":
        """Only the rows that the service would score: no feature missing or infinite."""
        return self._rows(finite_rows(model_frame(self.frame, self.contract)))

    def split(self, split: Split) -> "tuple[TrainingSet, TrainingSet]":
        """The training rows and the held-out rows."""
        out = held_out(self.entities, rules_of(self.target).strata(self.labels), split)
        return self._rows(~out), self._rows(out)

    def _rows(self, mask: NDArray[np.bool_]) -> "TrainingSet":
        return replace(self, frame=self.frame.loc[mask].reset_index(drop=True))


def finite_rows(features: "pd.DataFrame") -> NDArray[np.bool_]:
    """Whether no feature of a row is missing or infinite, shape (rows,)."""
    finite = features.notna() & ~features.isin([np.inf, -np.inf])
    return np.asarray(finite.all(axis="columns"), dtype=np.bool_)


def column_types(contract: FeatureContract, label: str, label_type: str = "Bool") -> dict[str, str]:
    """The Feast type of each column of a frame, in order; `label_type` is that of the target's labels."""
    features = {feature.name: feature.dtype for feature in contract.features}
    return {**key_types(contract.keys), **features, label: label_type}


def key_types(keys: JoinKeys) -> dict[str, str]:
    """The Feast type of each key's column; a UUID is its canonical text."""
    return {key.name: "Int64" if key.kind is Kind.INTEGER else "String" for key in keys.keys}


def canonical_frame(
    rows: "pd.DataFrame", contract: FeatureContract, label: str, label_type: str = "Bool"
) -> "pd.DataFrame":
    """Rows sorted by their keys, columns in the contract's order with the types of FRAME_TYPES."""
    types = {feature.name: FRAME_TYPES[feature.dtype] for feature in contract.features}
    keys = {name: KEY_FRAME_TYPES[feast_type] for name, feast_type in key_types(contract.keys).items()}
    frame = rows[[*keys, *types, label]].astype({**keys, **types, label: LABEL_FRAME_TYPES[label_type]})
    if (
        len(keys) == 1 and frame[next(iter(keys))].is_monotonic_increasing
    ):  # PostgreSQL has sorted them; again takes seconds
        return frame.reset_index(drop=True)
    return frame.sort_values([*keys], kind="stable", ignore_index=True)


def frame_of(rows: arrow.Table, contract: FeatureContract, label: str) -> "pd.DataFrame":
    """Typed rows as a canonical frame, in which both a Float64's null and its NaN are missing values."""
    import pandas as pd

    types = {arrow.bool_(): pd.BooleanDtype(), arrow.int64(): pd.Int64Dtype()}
    return canonical_frame(rows.to_pandas(types_mapper=types.get), contract, label, label_type_of(rows, label))


def label_type_of(rows: arrow.Table, label: str) -> str:
    """The Feast type of the labels of typed rows."""
    return next(name for name in LABEL_FRAME_TYPES if ACCEPTED_TYPES[name](rows.schema.field(label).type))


def table_of(frame: "pd.DataFrame", contract: FeatureContract, label: str) -> arrow.Table:
    """A canonical frame as typed rows, every missing value null."""
    label_type = next(name for name, each in LABEL_FRAME_TYPES.items() if frame[label].dtype == each)
    types = column_types(contract, label, label_type)
    schema = arrow.schema({name: TYPES[feast_type] for name, feast_type in types.items()})
    return arrow.Table.from_pandas(frame, schema, preserve_index=False)
