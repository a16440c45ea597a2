"""FeatureContract: which features a model takes, in which order and of which type; and the input that it takes.

Read from a Feast FeatureService when a training set is built, or from the use case where the features come in the
request; stored with the model, and compared with the registry or the use case when the model is served. `input_arrays`
is the one place where values become the model's input, for training and for serving alike. The frames that scikit-learn
takes are made of these arrays; pandas is loaded for them alone.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asof.features.feature_definition import changed_lines, digest_of

if TYPE_CHECKING:
    import pandas as pd

Compute = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float64]]
"""A derived column: takes the features by name, each of shape (rows,), numbers as float64; gives (rows,)."""

Accepted = Set[frozenset[str]]
"""Pairs of definitions' digests that somebody has accepted as the same."""

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
    `definitions` holds the text of each view's definition (`asof.features.feature_definition`).
    """

    feature_service: str
    entity: str
    features: tuple[Feature, ...]
    definitions: Mapping[str, str] = field(default_factory=dict, hash=False)

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

    def difference(self, given: Self, giver: str = "the registry", *, accepted: Accepted = frozenset()) -> str:
        """What differs between this contract of a model and what `giver` gives, in words; empty where nothing does.

        `accepted` are pairs of definitions' digests that count as the same.
        """
        unrecorded = self.unrecorded(given.definitions)
        ours, theirs = ({f"{f.view}:{f.name} ({f.dtype})".lstrip(":") for f in side.features} for side in (self, given))
        parts = [
            f"only the model has {', '.join(sorted(ours - theirs))}" if ours - theirs else "",
            f"only {giver} has {', '.join(sorted(theirs - ours))}" if theirs - ours else "",
            f"the entity is {given.entity!r}, not {self.entity!r}" if given.entity != self.entity else "",
            "" if ours != theirs or self.features == given.features else "the order of the features",
            *self.redefined(given.definitions, accepted).values(),
            f"the model does not record the definition of {', '.join(unrecorded)}" if unrecorded else "",
        ]
        return "; ".join(part for part in parts if part)

    def redefined(self, definitions: Mapping[str, str], accepted: Accepted = frozenset()) -> dict[str, str]:
        """The views that are defined otherwise than for the model, each with the changed lines; by the view's name."""
        found = {}
        for view in self.views:
            own, now = self.definitions.get(view), definitions.get(view)
            if own is not None and now is not None and not _same(own, now, accepted):
                found[view] = f"{view} is defined otherwise ({changed_lines(own, now)})"
        return found

    def unrecorded(self, definitions: Mapping[str, str]) -> list[str]:
        """The views whose definition the model does not record: it was trained before definitions were recorded."""
        return [view for view in self.views if view in definitions and view not in self.definitions]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as stored in feature_schema.json and with the model."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        features = tuple(Feature(**each) for each in data["features"])
        return cls(data["feature_service"], data["entity"], features, data.get("definitions", {}))


def _same(one: str, other: str, accepted: Accepted) -> bool:
    digests = frozenset({digest_of(one), digest_of(other)})
    return len(digests) == 1 or digests in accepted


def input_arrays(
    columns: "Mapping[str, ArrayLike] | pd.DataFrame", contract: FeatureContract, derived: Mapping[str, Compute]
) -> dict[str, NDArray[Any]]:
    """The model's input by name, each of shape (rows,): the features in the contract's order, then what is derived.

    Numbers are float64, a missing one NaN and a truth 0 or 1; categories are objects, a missing one stays what it is:
    verdicts and training decide what becomes of such a row. Raises KeyError where a feature is not among the columns.
    """
    arrays: dict[str, NDArray[Any]] = {
        feature.name: np.asarray(columns[feature.name], dtype=object if feature.categorical else np.float64)
        for feature in contract.features
    }
    return arrays | {name: compute(arrays) for name, compute in derived.items()}


def row_arrays(
    rows: Sequence[Mapping[str, Any]], contract: FeatureContract, derived: Mapping[str, Compute]
) -> dict[str, NDArray[Any]]:
    """`input_arrays` of n rows of feature values by name. Raises KeyError where one lacks a feature."""
    return input_arrays({name: [row[name] for row in rows] for name in contract.names}, contract, derived)


def model_frame(values: "pd.DataFrame", contract: FeatureContract) -> "pd.DataFrame":
    """The features as the model takes them, as `input_arrays` gives them: shape (rows, features)."""
    return model_input(values, contract, {})


def model_input(values: "pd.DataFrame", contract: FeatureContract, derived: Mapping[str, Compute]) -> "pd.DataFrame":
    """The model's input, as `input_arrays` gives it: shape (rows, features + derived).

    Raises KeyError where a feature of the contract is not a column of `values`.
    """
    return as_frame(input_arrays(values, contract, derived)).set_axis(values.index)


def as_frame(arrays: Mapping[str, NDArray[Any]]) -> "pd.DataFrame":
    """Arrays of `input_arrays` as a frame."""
    import pandas as pd

    return pd.DataFrame(dict(arrays))
