"""FeatureContract: which features a model takes, in which order and of which type; and the frame that it takes.

Read from a Feast FeatureService when a training set is built, or from the use case where the features come in the
request; stored with the model, and compared with the registry or the use case when the model is served. `model_input`
is the one place where values become the model's input, for training and for serving alike.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Compute = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float64]]
"""A derived column: takes the features by name, each of shape (rows,), numbers as float64; gives (rows,)."""

CATEGORICAL = "String"
"""The one Feast type that reaches a model as a category; every other type reaches it as float64."""


@dataclass(frozen=True)
class Feature:
    """One feature: its name, its Feast type (`Float64`, `String`, ...), and the feature view that holds it.

    `view` is empty where it comes in the request.
    """

    name: str
    view: str
    dtype: str

    @property
    def categorical(self) -> bool:
        """Whether the model takes it as a category (text), not as a number."""
        return self.dtype == CATEGORICAL


@dataclass(frozen=True)
class FeatureContract:
    """The features of one FeatureService, in the order that the model takes them; `entity` is the join key.

    `feature_service` is empty where the features come in the request; `entity` is then the key of a training row.
    """

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
        return list(dict.fromkeys(feature.view for feature in self.features if feature.view))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: equal where the contracts are equal."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def difference(self, given: Self, giver: str = "the registry") -> str:
        """What differs between this contract of a model and what `giver` gives, in words; empty where nothing does."""
        ours, theirs = ({f"{f.view}:{f.name} ({f.dtype})".lstrip(":") for f in side.features} for side in (self, given))
        parts = [
            f"only the model has {', '.join(sorted(ours - theirs))}" if ours - theirs else "",
            f"only {giver} has {', '.join(sorted(theirs - ours))}" if theirs - ours else "",
            f"the entity is {given.entity!r}, not {self.entity!r}" if given.entity != self.entity else "",
        ]
        return "; ".join(part for part in parts if part) or ("" if self == given else "the order of the features")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as stored in feature_schema.json and with the model."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(data["feature_service"], data["entity"], tuple(Feature(**f) for f in data["features"]))


def model_frame(values: pd.DataFrame, contract: FeatureContract) -> pd.DataFrame:
    """The features as the model takes them: shape (rows, features), numbers float64, categories text.

    A missing value stays missing (NaN or None): verdicts and training decide what becomes of such a row.
    Raises KeyError where a feature of the contract is not a column of `values`.
    """
    columns = {
        feature.name: values[feature.name].astype("object" if feature.categorical else "float64")
        for feature in contract.features
    }
    return pd.DataFrame(columns, index=values.index)


def model_input(values: pd.DataFrame, contract: FeatureContract, derived: Mapping[str, Compute]) -> pd.DataFrame:
    """The model's input: shape (rows, features + derived), the features as in `model_frame`, then what is derived.

    Raises KeyError as `model_frame` does.
    """
    frame = model_frame(values, contract)
    features = {name: frame[name].to_numpy() for name in contract.names}
    return frame.assign(**{name: compute(features) for name, compute in derived.items()})
