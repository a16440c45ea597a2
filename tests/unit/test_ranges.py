"""A value is judged by its distance from what the model was trained on, before the model is asked."""

import pytest

from asof.errors import InvalidRequest
from asof.serving.ranges import outside
from asof.use_case import Given

RANGES = {"area": (100.0, 200.0), "constant": (5.0, 5.0)}


def away(value: float, name: str = "area") -> list[float]:
    return [each.ranges_away for each in outside([Given(name, value, "features.3")], RANGES)]


@pytest.mark.parametrize("value", [100.0, 150.0, 200.0])
def test_the_range_has_both_its_ends(value: float) -> None:
    assert away(value) == []


@pytest.mark.parametrize(("value", "ranges"), [(201.0, 0.01), (99.0, 0.01), (1200.0, 10.0), (-900.0, 10.0)])
def test_a_value_up_to_ten_ranges_outside_is_flagged_with_its_distance(value: float, ranges: float) -> None:
    assert away(value) == [pytest.approx(ranges)]


@pytest.mark.parametrize(("value", "told"), [(1200.001, "10 ranges"), (10_200.0, "100 ranges"), (-901.0, "10 ranges")])
def test_a_value_farther_outside_is_refused_with_place_name_and_distance(value: float, told: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"body\.features\.3: area must lie within 10 .* {told} away") as refusal:
        away(value)
    assert [error["at"] for error in refusal.value.extra["errors"]] == ["body.features.3"]


@pytest.mark.parametrize("value", [1e308, -1e308, 5e-324])
def test_the_greatest_numbers_are_judged_too(value: float) -> None:
    if abs(value) < 1:
        assert away(value) == [1.0]
    else:
        with pytest.raises(InvalidRequest, match="ranges away"):
            away(value)


def test_where_training_knew_one_value_any_other_is_refused() -> None:
    assert away(5.0, "constant") == []
    with pytest.raises(InvalidRequest, match="constant must lie within"):
        away(5.1, "constant")


def test_a_feature_without_a_range_is_not_judged() -> None:
    assert away(1e300, "unknown") == []


def test_every_far_value_is_named() -> None:
    far = [Given("area", 1e6, "features.0"), Given("constant", 0.0, "features.1"), Given("area", 150.0, "features.2")]
    with pytest.raises(InvalidRequest) as refusal:
        outside(far, RANGES)
    assert [error["at"] for error in refusal.value.extra["errors"]] == ["body.features.0", "body.features.1"]
