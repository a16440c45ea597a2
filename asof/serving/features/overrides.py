"""Overrides: the values of a what-if request, which replace stored ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field, WithJsonSchema

from asof.features.feature_contract import Feature, FeatureContract
from asof.given_features import RequestFeature
from asof.inference.ranges import TrainingRanges, outside_values
from asof.inference.verdicts import JudgedFeature, StoredRow, Verdict
from asof.serving.http.problems import invalid_request

OVERRIDES, OVERRIDDEN = "overrides", "overridden"
"""The member of a request, and that of its answer."""
Value = bool | int | float | str | None
BITS = {"Int32": 31, "Int64": 63}
Described = Annotated[Value, WithJsonSchema({"type": ["boolean", "number", "string"]})]
"""A null is described as invalid, and gets an error that names its feature."""


class WhatIf(BaseModel):
    """The member of a request whose features come from the store."""

    overrides: dict[str, Described] = Field(
        {},
        description="What if? Values that replace stored ones, by feature: those of GET /model, each in its type "
        "(422). The answer names them, and does not count as a prediction. Where the service has API keys, needs the "
        "scope what-if.",
        examples=[{}],
    )


def overrides_of(request: BaseModel) -> Mapping[str, Any]:
    """Those of a request, which has none unless it asks for them."""
    return request.overrides if isinstance(request, WhatIf) else {}


@dataclass(frozen=True)
class Overrides:
    """Checked values by feature, each in its feature's type."""

    values: Mapping[str, Any]

    def row(self, row: StoredRow) -> StoredRow:
        """The row with these values; the moments stay those of the store."""
        named = zip(row.features, row.values, strict=True)
        return row._replace(values=[self.values.get(feature.name, value) for feature, value in named])

    def judged(self, features: Sequence[JudgedFeature]) -> list[JudgedFeature]:
        """The features with these values and the verdict OVERRIDDEN."""
        return [
            replace(each, value=self.values[each.feature.name], verdict=Verdict.OVERRIDDEN)
            if each.feature.name in self.values
            else each
            for each in features
        ]

    def payload(self, stored: Sequence[JudgedFeature]) -> list[dict[str, Any]]:
        """The member of the answer: each value beside the stored one and its verdict."""
        return [
            {
                "feature": each.feature.name,
                "view": each.feature.view,
                "verdict": Verdict.OVERRIDDEN,
                "value": self.values[each.feature.name],
                "stored": None if isinstance(each.value, float) and not isfinite(each.value) else each.value,
                "stored_verdict": each.verdict,
            }
            for each in stored
            if each.feature.name in self.values
        ]


def checked(asked: Mapping[str, Any], contract: FeatureContract, trained: TrainingRanges) -> Overrides:
    """The values asked for, of stored features of the model's contract.

    Raises InvalidRequest for an unknown or given feature, another type, a null, a number that is not finite, and one
    that is too far outside the training range.
    """
    features = {each.name: each for each in contract.features}
    values, errors = {}, []
    for name, value in asked.items():
        try:
            values[name] = _value(features.get(name), value)
        except ValueError as error:
            errors.append({"type": "override", "loc": ("body", OVERRIDES, name), "msg": str(error)})
    if errors:
        raise invalid_request(errors)
    outside_values(
        [RequestFeature(name, value, f"{OVERRIDES}.{name}") for name, value in values.items()], trained.ranges
    )
    return Overrides(values)


def _value(feature: Feature | None, value: Any) -> Any:
    """The value as the store would return it. Raises ValueError with the rule that it breaks."""
    if feature is None:
        raise ValueError("is no stored feature of the model: GET /model lists them")
    if value is None:
        raise ValueError("must not be null: the model needs a value")
    match feature.dtype:
        case "Float64" | "Float32":
            return _number(feature, value)
        case "Int64" | "Int32":
            return _integer(feature, value)
        case "Bool" if isinstance(value, bool):
            return value
        case "String" if isinstance(value, str) and "\x00" not in value:
            return value
        case "Bool":
            raise ValueError("must be true or false")
        case "String":
            raise ValueError("must be a text, without the character NUL")
        case other:
            raise ValueError(f"is of the type {other}, which cannot be overridden")


def _number(feature: Feature, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")  # noqa: TRY004
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        number = float("inf")
    if feature.dtype == "Float32" and isfinite(number):
        with np.errstate(over="ignore"):
            number = float(np.float32(number))
    if not isfinite(number):
        raise ValueError("must be a finite number")
    return number


def _integer(feature: Feature, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be an integer")  # noqa: TRY004
    if not -(2 ** BITS[feature.dtype]) <= value < 2 ** BITS[feature.dtype]:
        raise ValueError(f"must be an integer of {BITS[feature.dtype] + 1} bits")
    return value
