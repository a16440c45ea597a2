"""FeatureContract: the features of a model with their order and types; and how their values become the model's input.

A contract is read from a Feast FeatureService when a training set is built, or from the use case where the features
come in the request. It is stored with the model, and compared with the registry or the use case when that is served.
`input_arrays` makes the model's input, in training and in serving alike. pandas is imported for frames alone.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter

from asof.features.feature_definition import changed_lines, digest_of
from asof.features.join_keys import JoinKey, JoinKeys

if TYPE_CHECKING:
    import pandas as pd

Compute = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float64]]
"""A derived column, shape (rows,), from the features by name, each of shape (rows,), numbers as float64."""

AcceptedDefinitions = Set[frozenset[str]]
"""Pairs of digests of definitions that `flows accept-definition` declared equivalent."""

CATEGORICAL = "String"
"""The one Feast type that reaches a model as a category; every other type reaches it as float64."""

GIVEN = "given in the request"
"""Stands for the feature view of features that have none. No feature view has a blank in its name."""


@dataclass(frozen=True)
class Feature:
    """One feature: its name, its feature view (empty: it comes in the request), its Feast type (`Float64`, ...)."""

    name: str
    view: str
    dtype: str

    @property
    def categorical(self) -> bool:
        """Whether it is a category (text) for the model, not a number."""
        return self.dtype == CATEGORICAL

    @property
    def source(self) -> str:
        """Its feature view, or GIVEN."""
        return self.view or GIVEN


@dataclass(frozen=True)
class FeatureContract:
    """The features of one FeatureService, in the model's order; `entity` is the join key, or the join keys by name.

    `feature_service` is empty where all features come in the request; `entity` is then the key of a training row.
    A single key of text is its name alone, as in models from before there were others. `definitions` has the text of
    each view's definition (`asof.features.feature_definition`).
    """

    feature_service: str
    entity: str | tuple[JoinKey, ...]
    features: tuple[Feature, ...]
    definitions: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.entity, str) and self.entity == (JoinKey(self.entity[0].name),):
            object.__setattr__(self, "entity", self.entity[0].name)

    @cached_property
    def keys(self) -> JoinKeys:
        """The join keys."""
        return JoinKeys((JoinKey(self.entity),) if isinstance(self.entity, str) else self.entity)

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
    def stored(self) -> Self:
        """The contract of those features that come from the feature store."""
        return replace(self, features=tuple(feature for feature in self.features if feature.view))

    @property
    def given(self) -> Self:
        """The contract of those features that come in the request."""
        return replace(self, features=tuple(feature for feature in self.features if not feature.view), definitions={})

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: equal where the contracts are equal."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def difference(
        self, source: Self, source_name: str = "the registry", *, accepted: AcceptedDefinitions = frozenset()
    ) -> str:
        """How the contract of a feature source differs from this one of a model; empty where it does not."""
        unrecorded = self.unrecorded(source.definitions)
        ours, theirs = ({f"{f.view}:{f.name} ({f.dtype})".lstrip(":") for f in one.features} for one in (self, source))
        parts = [
            f"only the model has {', '.join(sorted(ours - theirs))}" if ours - theirs else "",
            f"only {source_name} has {', '.join(sorted(theirs - ours))}" if theirs - ours else "",
            f"the entity is {source.keys}, not {self.keys}" if source.entity != self.entity else "",
            "" if ours != theirs or self.features == source.features else "the order of the features",
            *self.redefined(source.definitions, accepted).values(),
            f"the model does not record the definition of {', '.join(unrecorded)}" if unrecorded else "",
        ]
        return "; ".join(filter(None, parts))

    def redefined(self, definitions: Mapping[str, str], accepted: AcceptedDefinitions = frozenset()) -> dict[str, str]:
        """The views whose definition is not the model's, each with a text of the changed lines."""
        changed = {}
        for view in self.views:
            own, now = self.definitions.get(view), definitions.get(view)
            if own is None or now is None:
                continue
            digests = frozenset({digest_of(own), digest_of(now)})
            if len(digests) > 1 and digests not in accepted:
                changed[view] = f"{view} is defined otherwise ({changed_lines(own, now)})"
        return changed

    def unrecorded(self, definitions: Mapping[str, str]) -> list[str]:
        """The views whose definition an older model does not record."""
        return [view for view in self.views if view in definitions and view not in self.definitions]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as stored in feature_schema.json and with the model."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return TypeAdapter(cls).validate_python(data)


def input_arrays(
    columns: "Mapping[str, ArrayLike] | pd.DataFrame", contract: FeatureContract, derived: Mapping[str, Compute]
) -> dict[str, NDArray[Any]]:
    """The model's input by name, each of shape (rows,): the features in the contract's order, then derived columns.

    Numbers and booleans are float64, a missing one is NaN. Categories are objects, a missing one stays as it is:
    verdicts and training decide about such a row. Raises KeyError where a feature is not among the columns.
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
    """The features as a frame of `input_arrays`, shape (rows, features). Raises KeyError for an absent one."""
    return model_input(values, contract, {})


def model_input(values: "pd.DataFrame", contract: FeatureContract, derived: Mapping[str, Compute]) -> "pd.DataFrame":
    """The model's input as a frame of `input_arrays`, shape (rows, features + derived); KeyError as there."""
    return as_frame(input_arrays(values, contract, derived)).set_axis(values.index)


def as_frame(arrays: Mapping[str, NDArray[Any]]) -> "pd.DataFrame":
    """Arrays of `input_arrays` as a frame."""
    import pandas as pd

    return pd.DataFrame(dict(arrays))
