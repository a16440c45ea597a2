"""Overrides against a contract: each type of the store, and what is none of its values."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asof.errors import ConfigurationError, InvalidRequest
from asof.features.feature_contract import Feature, FeatureContract
from asof.inference.ranges import TrainingRanges
from asof.model_facts import ModelFacts
from asof.serving.features.options import payload_type
from asof.serving.features.overrides import checked
from asof.use_cases import load
from tests.kits.service.serving import facts_of

TYPES = ("Float64", "Float32", "Int64", "Int32", "Bool", "String", "UnixTimestamp", "Array(Float64)")
CONTRACT = FeatureContract("s", "id", tuple(Feature(each.lower(), "a_fv", each) for each in TYPES))


def ranges(**ranges: tuple[float, float]) -> TrainingRanges:
    facts: ModelFacts = facts_of(CONTRACT)
    return TrainingRanges(replace(facts, ranges=ranges))


def values(**asked: Any) -> Any:
    return checked(asked, CONTRACT, ranges(float64=(0.0, 1.0))).values


@pytest.mark.parametrize(
    ("name", "value", "used"),
    [
        ("float64", 1, 1.0),
        ("float64", 0.1, 0.1),
        ("float64", -9.9, -9.9),
        ("float32", 0.1, float(np.float32(0.1))),
        ("int64", -(2**63), -(2**63)),
        ("int64", 2**63 - 1, 2**63 - 1),
        ("int32", 2**31 - 1, 2**31 - 1),
        ("bool", False, False),
        ("string", "", ""),
        ("string", "שלום \u202e 👩‍👩‍👧", "שלום \u202e 👩‍👩‍👧"),
    ],
    ids=str,
)
def test_a_value_is_used_as_the_store_would_return_it(name: str, value: Any, used: Any) -> None:
    found = values(**{name: value})[name]
    assert (found, type(found)) == (used, type(used))


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("float64", 10.0**3, "training ranges"),
        ("float64", float("inf"), "finite"),
        ("float64", 10**400, "finite"),
        ("float32", 1e39, "finite"),
        ("int32", 2**31, "32 bits"),
        ("int64", 2**63, "64 bits"),
        ("int64", True, "integer"),
        ("int64", 1.0, "integer"),
        ("bool", 1, "true or false"),
        ("string", "\x00", "NUL"),
        ("unixtimestamp", 1, "cannot be overridden"),
        ("array(float64)", "x", "cannot be overridden"),
        ("string", None, "null"),
        ("id", "u1", "no stored feature"),
    ],
    ids=str,
)
def test_another_value_is_refused_with_its_rule(name: str, value: Any, rule: str) -> None:
    with pytest.raises(InvalidRequest, match=rule) as refused:
        values(**{name: value})
    assert refused.value.extra["errors"][0]["at"] == f"body.overrides.{name}"


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(InvalidRequest) as refused:
        values(int64="1", bool="x", float64=0.5)
    assert [each["at"] for each in refused.value.extra["errors"]] == ["body.overrides.int64", "body.overrides.bool"]


def test_a_request_that_has_such_a_member_itself_is_refused_at_the_start() -> None:
    from dataclasses import replace

    from pydantic import create_model

    churn = load("churn")
    own = create_model("Own", __base__=churn.request, explain=(str, "why"))
    with pytest.raises(ConfigurationError, match="has the member 'explain', which POST /predict adds"):
        payload_type(replace(churn, request=own))
