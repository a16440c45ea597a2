"""Numbers as the page tells them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from monitoring.records.figure import Figure, Subject
from monitoring.report.numbers import moment, number, p_value, share, told


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8234, "0.823"),
        (0.0, "0.000"),
        (0.0004, "< 0.001"),
        (-0.0004, "> -0.001"),
        (-1.5, "-1.500"),
        (44.2, "44.20"),
        (7043.0, "7,043"),
        (1234567.8, "1,234,568"),
        (None, "not known"),
        (float("nan"), "not known"),
    ],
)
def test_a_number_is_short(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.94, "94.0 %"),
        (0.0004, "0.040 %"),
        (0.0, "0.0 %"),
        (1.0, "100.0 %"),
        (1e-9, "< 0.0001 %"),
        (2e-6, "0.00020 %"),
    ],
)
def test_a_share_is_in_per_cent(value: float, text: str) -> None:
    assert share(value) == text


def test_a_figure_is_told_with_its_interval_and_rows() -> None:
    figure = Figure(Subject.MATURITY, "mature_share", 0.5, 7043, datetime(2024, 1, 31, tzinfo=UTC), "1", "", 0.4, 0.6)
    assert told(figure) == "50.0 % (40.0 % to 60.0 %; n = 7,043)"


def test_a_moment_is_in_utc_whatever_zone_it_came_in() -> None:
    zone = timezone(timedelta(hours=2))
    assert moment(datetime(2024, 1, 31, 2, tzinfo=zone)) == "2024-01-31"
    assert moment(datetime(2024, 1, 31, 2, 30, tzinfo=zone)) == "2024-01-31 00:30 UTC"


@pytest.mark.parametrize(("value", "text"), [(0.0, "< 0.001"), (0.0321, "0.032"), (None, ""), ("x", "")])
def test_a_p_value_is_three_decimals(value: object, text: str) -> None:
    assert p_value(value) == text
