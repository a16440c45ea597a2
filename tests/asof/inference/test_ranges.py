"""Values are compared with the training ranges before the model is called."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from asof.errors import InvalidRequest
from asof.features.feature_contract import Feature, FeatureContract
from asof.given_features import RequestFeature
from asof.inference.ranges import TrainingRanges, outside_values
from asof.inference.stored_columns import StoredColumns
from asof.inference.verdicts import StoredRow
from asof.model_facts import ModelFacts
from asof.serving.features.evidence import StoredOutsideFlag, UnseenCategoryFlag
from tests.kits.service.serving import NOW, facts_of

RANGES = {"area": (100.0, 200.0), "constant": (5.0, 5.0)}


def away(value: float, name: str = "area") -> list[float]:
    return [each.ranges_away for each in outside_values([RequestFeature(name, value, "features.3")], RANGES)]


@pytest.mark.parametrize("value", [100.0, 150.0, 200.0])
def test_both_ends_belong_to_the_range(value: float) -> None:
    assert away(value) == []


@pytest.mark.parametrize(("value", "ranges"), [(201.0, 0.01), (99.0, 0.01), (1200.0, 10.0), (-900.0, 10.0)])
def test_a_value_up_to_ten_ranges_outside_is_flagged_with_its_distance(value: float, ranges: float) -> None:
    assert away(value) == [pytest.approx(ranges)]


@pytest.mark.parametrize(("value", "limit"), [(1200.001, "10 ranges"), (10_200.0, "100 ranges"), (-901.0, "10 ranges")])
def test_a_value_farther_outside_is_refused_with_place_name_and_distance(value: float, limit: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"body\.features\.3: area must lie within 10 .* {limit} away") as refusal:
        away(value)
    assert [error["at"] for error in refusal.value.extra["errors"]] == ["body.features.3"]


@pytest.mark.parametrize("value", [1e308, -1e308, 5e-324])
def test_the_greatest_floats_are_refused(value: float) -> None:
    if abs(value) < 1:
        assert away(value) == [1.0]
    else:
        with pytest.raises(InvalidRequest, match="ranges away"):
            away(value)


def test_with_a_single_training_value_any_other_is_refused() -> None:
    assert away(5.0, "constant") == []
    with pytest.raises(InvalidRequest, match="constant must lie within"):
        away(5.1, "constant")


def test_a_feature_without_a_range_is_not_compared() -> None:
    assert away(1e300, "unknown") == []


def test_every_far_value_is_named() -> None:
    far = [
        RequestFeature("area", 1e6, "features.0"),
        RequestFeature("constant", 0.0, "features.1"),
        RequestFeature("area", 150.0, "features.2"),
    ]
    with pytest.raises(InvalidRequest) as refusal:
        outside_values(far, RANGES)
    assert [error["at"] for error in refusal.value.extra["errors"]] == ["body.features.0", "body.features.1"]


FEATURES = (
    Feature("fee", "subs", "Float64"),
    Feature("months", "subs", "Int64"),
    Feature("senior", "users", "Bool"),
    Feature("plan", "subs", "String"),
    Feature("unjudged", "usage", "Float64"),
)
FACTS = replace(
    facts_of(FeatureContract("churn_v2", "user_id", FEATURES)),
    ranges={"fee": (20.0, 120.0), "months": (1.0, 72.0), "senior": (0.0, 0.0)},
    categories={"plan": ("month", "year")},
)
GOOD = {"fee": 70.0, "months": 12, "senior": False, "plan": "year", "unjudged": 1e300}


def row(**values: Any) -> StoredRow:
    return StoredRow(FEATURES, [(GOOD | values)[each.name] for each in FEATURES], [NOW] * len(FEATURES))


def test_stored_values_within_the_training_ranges_get_no_flag() -> None:
    for each in (row(), row(fee=20.0), row(fee=120.0, months=72), row(plan="month", months=1)):
        assert TrainingRanges(FACTS).covers(each.values)
        assert TrainingRanges(FACTS).flags(each) == []


@pytest.mark.parametrize(
    ("feature", "value", "away"),
    [
        ("fee", 120.1, pytest.approx(0.001)),
        ("fee", 1220.1, pytest.approx(11.001)),
        ("fee", -1e300, pytest.approx(1e298)),
        ("fee", 1.797e308, pytest.approx(1.797e306)),
        ("months", 0, pytest.approx(1 / 71)),
        ("months", 2**62, pytest.approx(2**62 / 71)),
        ("senior", True, None),
    ],
)
def test_a_stored_number_outside_is_flagged_at_any_distance_with_its_place(
    feature: str, value: float, away: float | None
) -> None:
    found = row(**{feature: value})
    assert not TrainingRanges(FACTS).covers(found.values)
    (flag,) = TrainingRanges(FACTS).flags(found)
    low, high = FACTS.ranges[feature]
    assert flag == {
        "feature": feature,
        "view": "users" if feature == "senior" else "subs",
        "verdict": "OUTSIDE",
        "value": float(value),
        "trained_from": low,
        "trained_to": high,
        "ranges_away": away,
    }
    assert "Infinity" not in to_json(flag).decode()
    assert StoredOutsideFlag.model_validate(flag).model_dump_json() == to_json(flag).decode()


@pytest.mark.parametrize("value", ["five years", "", "Year", "year "])
def test_a_stored_category_unknown_to_training_is_flagged(value: str) -> None:
    found = row(plan=value)
    assert not TrainingRanges(FACTS).covers(found.values)
    (flag,) = TrainingRanges(FACTS).flags(found)
    assert flag == {"feature": "plan", "view": "subs", "verdict": "OUTSIDE", "category": value}
    assert UnseenCategoryFlag.model_validate(flag).model_dump_json() == to_json(flag).decode()


def test_a_model_without_ranges_or_categories_flags_nothing() -> None:
    facts = FACTS.to_dict()
    del facts["ranges"], facts["categories"]
    trained = TrainingRanges(ModelFacts.from_dict(facts))
    assert trained.covers(row(fee=1e300, plan="five years").values)
    assert trained.flags(row(fee=1e300, plan="five years")) == []
    assert ModelFacts.from_dict(FACTS.to_dict()) == FACTS


NUMBERS = st.none() | st.floats(allow_nan=False) | st.sampled_from([20.0, 120.0])
ROWS = st.builds(
    row,
    fee=NUMBERS,
    months=st.none() | st.integers(-(2**62), 2**62) | st.integers(0, 73),
    senior=st.none() | st.booleans(),
    plan=st.none() | st.sampled_from(["month", "year", "five years"]),
)


@given(st.lists(ROWS, min_size=1, max_size=5))
def test_columns_are_compared_as_rows_are_and_missing_values_are_not(rows: list[StoredRow]) -> None:
    trained = TrainingRanges(FACTS)
    columns, flags = StoredColumns.from_rows(FEATURES, rows), [trained.flags(each) for each in rows]
    saw = trained.covers_each(columns).tolist()
    assert saw == [each == [] for each in flags]
    assert trained.flags_each(columns) == {number: each for number, each in enumerate(flags) if each}
    assert all(
        trained.covers(each.values) == fine for each, fine in zip(rows, saw, strict=True) if None not in each.values
    )
