"""Steps of a cadence, and moments as texts."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from asof.extracts.cadence import Cadence, Every, moment_of, moment_text


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("every", "steps", "expected"),
    [
        (Every.HOUR, 30, "2024-02-01T12:00"),
        (Every.DAY, 29, "2024-02-29T06:00"),
        (Every.WEEK, 2, "2024-02-14T06:00"),
        (Every.MONTH, 1, "2024-02-29T06:00"),
        (Every.MONTH, 13, "2025-02-28T06:00"),
        (Every.MONTH, -1, "2023-12-31T06:00"),
        (Every.HOUR, -7, "2024-01-30T23:00"),
        (Every.MONTH, 0, "2024-01-31T06:00"),
    ],
)
def test_a_step_leads_to_the_next_moment(every: Every, steps: int, expected: str) -> None:
    assert every.after(at("2024-01-31T06:00"), steps) == at(expected)


def test_a_range_ends_at_or_before_its_last_moment() -> None:
    assert Every.MONTH.until(at("2023-12-31"), at("2024-02-29")) == [
        at(f"{day}") for day in ("2023-12-31", "2024-01-31", "2024-02-29")
    ]
    assert Every.DAY.until(at("2024-01-31"), at("2024-02-01T23:00")) == [at("2024-01-31"), at("2024-02-01")]
    assert Every.HOUR.until(at("2024-01-31"), at("2024-01-30")) == []


def test_labels_are_known_a_step_or_a_horizon_later() -> None:
    assert Cadence().labels_known(at("2024-01-31")) == at("2024-02-29")
    assert Cadence(Every.DAY).labels_known(at("2024-01-31"), 2) == at("2024-02-03")
    assert Cadence(Every.DAY, timedelta(hours=36)).labels_known(at("2024-01-31"), 1) == at("2024-02-02T12:00")


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (at("2024-01-31"), "2024-01-31"),
        (at("2024-01-31T06:00"), "2024-01-31T06:00Z"),
        (at("2024-01-31T06:00:07"), "2024-01-31T06:00:07Z"),
        (datetime(2024, 1, 31, 1, tzinfo=timezone(timedelta(hours=1))), "2024-01-31"),
    ],
)
def test_a_moment_is_written_as_it_can_be_typed(moment: datetime, text: str) -> None:
    assert moment_text(moment) == text
    assert moment_of(datetime.fromisoformat(text)) == moment


def test_a_day_or_a_time_without_a_zone_is_of_utc() -> None:
    assert moment_of(date(2024, 1, 31)) == moment_of(datetime(2024, 1, 31)) == at("2024-01-31")  # noqa: DTZ001
