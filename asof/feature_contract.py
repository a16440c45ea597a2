"""FeatureContract: which features a model takes, in which order and of which type; and the frame that it takes.

Read from a Feast FeatureService when a training set is built, stored with the model, and compared with the
registry when the model is served. `model_frame` is the one place where values become the model's input, for
training and for serving alike.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import pandas as pd

CATEGORICAL = "String"
"""The one Feast type that reaches a model as a category; every other type reaches it as float64."""


@dataclass(frozen=True)
class Feature:
    """One feature: its name, the feature view that holds it, and its Feast type (`Float64`, `String`, ...)."""

    name: str
    view: str
    dtype: str

    @property
    def categorical(self) -> bool:
        """Whether the model takes it as a category (text), not as a number."""
        return self.dtype == CATEGORICAL


@dataclass(frozen=True)
class FeatureContract:
    """The features of one FeatureService, in the order that the model takes them; `entity` is the join key."""

    feature_service: str
    entity: str
    features: tuple[Feature, ...]

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    @property
    def numeric(self) -> list[str]:
        return [feature.name for feature in self.features if not feature.categorical]

    @property
    def categories(self) -> list[str]:
        return [feature.name for feature in self.features if feature.categorical]

    @property
    def views(self) -> list[str]:
        """The feature views, each once, in the order of their first feature."""
        return list(dict.fromkeys(feature.view for feature in self.features))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: equal where the contracts are equal."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as stored in feature_schema.json and with the model."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(data["feature_service"], data["entity"], tuple(Feature(**f) for f in data["features"]))


def model_frame(values: pd.DataFrame, contract: FeatureContract) -> pd.DataFrame:
    """The model's input: shape (rows, features) in the contract's order, numbers float64, categories text.

    A missing value stays missing (NaN or None): verdicts and training decide what becomes of such a row.
    Raises KeyError where a feature of the contract is not a column of `values`.
    """
    columns = {
        feature.name: values[feature.name].astype("object" if feature.categorical else "float64")
        for feature in contract.features
    }
    return pd.DataFrame(columns, index=values.index)
