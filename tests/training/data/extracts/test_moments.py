"""Deliveries of any cadence: named by their moments, numbered by their steps, or read by queries."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from asof.errors import DataError
from asof.extracts.cadence import Cadence, Every
from tests.kits.data.sources import SHOP
from training.data.extracts.deliveries import Delivery, Part, delivery_name, find_deliveries, first_described
from training.data.extracts.moments import moment_deliveries

HOURLY = Cadence(Every.HOUR, timedelta(hours=2))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir()
    return folder


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("2024-01-31", "2024-01-31"),
        ("2024-01-31T0600Z", "2024-01-31T06:00"),
        ("2024-01-31T06:00Z", "2024-01-31T06:00"),
        ("2024-01-31t060007z", "2024-01-31T06:00:07"),
        ("hour_2024-01-31T0600Z", "2024-01-31T06:00"),
        ("day_2024-01-31", "2024-01-31"),
        ("month_2024-01-31T0600Z_r2", "2024-01-31T06:00"),
        ("day_003", "2024-01-04T05:00"),
        ("week_1", "2024-01-08T05:00"),
        ("hour_0020", "2024-01-02T01:00"),
        ("month_001", "2024-02-29T05:00"),
        ("labels_003", "2024-01-01T08:00"),
    ],
)
def test_a_folder_names_its_moment(tmp_path: Path, name: str, moment: str) -> None:
    (found,) = find_deliveries(make(tmp_path, name), first=at("2024-01-01T05:00"), cadence=HOURLY)
    assert found.as_of == at(moment)


def test_a_backfill_of_hours_knows_each_at_its_own(tmp_path: Path) -> None:
    names = ("2024-01-31T0600Z", "2024-01-31T0600Z_r1", "labels_2024-01-31T0600Z", "2024-01-31T0700Z")
    found = find_deliveries(make(tmp_path, *names), backfill=True, cadence=HOURLY)
    assert [(each.name, each.known_at) for each in found] == [
        ("2024-01-31T0600Z", at("2024-01-31T06:00")),
        ("2024-01-31T0600Z_r1", at("2024-01-31T07:00")),
        ("2024-01-31T0700Z", at("2024-01-31T07:00")),
        ("labels_2024-01-31T0600Z", at("2024-01-31T08:00")),
    ]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("2024-02-30", r"\(no such day\)"),
        ("2024-01-31T2500Z", r"\(no such day or time\)"),
        ("2024-01-31T06Z", ""),
        ("2024-01-31 (copy)", ""),
        ("day-3", ""),
        ("2024-1-31", ""),
        ("2999-01-31T0600Z", r"\(as of 2999-01-31T06:00Z, which is in the future\)"),
        ("month_2024-01-31T0000Z", r"\(the same as '2024-01-31'\)"),
    ],
)
def test_a_name_that_is_nearly_a_moment_is_named(tmp_path: Path, name: str, fault: str) -> None:
    with pytest.raises(DataError, match=f"{re.escape(repr(name))} ?{fault}"):
        find_deliveries(make(tmp_path, "2024-01-31", name), first=at("2024-01-01"))


@pytest.mark.parametrize("name", ["2024", "birthday_3", "holidays2024", "Friday 13"])
def test_other_folders_beside_deliveries_are_left_alone(tmp_path: Path, name: str) -> None:
    assert [each.name for each in find_deliveries(make(tmp_path, "2024-01-31", name))] == ["2024-01-31"]


def test_the_first_moment_is_found_from_a_later_one() -> None:
    assert first_described(Path("hour_005"), at("2024-01-31T06:00")) == at("2024-01-31T01:00")
    assert first_described(Path("month_001"), at("2024-02-29")) == at("2024-01-31")
    assert first_described(Path("2024-01-31T0600Z"), at("2024-01-31T06:00")) is None


def test_one_moment_has_one_name_however_it_is_written() -> None:
    names = ("month_000", "2024-01-31", "hour_2024-01-31T0600Z", "2024-01-31T06:00Z_r0")
    assert {delivery_name(Path(name)) for name in names} == {"month_r0"}
    assert delivery_name(Path("labels_2024-01-31_r1")) == "labels_r1"


# --- queries


def test_without_a_moment_queries_are_read_now() -> None:
    assert moment_deliveries(SHOP) == [Delivery(None, None, None)]


def test_a_range_is_one_delivery_for_each_moment_known_now() -> None:
    found = moment_deliveries(SHOP, at("2024-01-31"), at("2024-02-02"), Every.DAY)
    assert found == [Delivery(None, at(day), None) for day in ("2024-01-31", "2024-02-01", "2024-02-02")]
    assert [each.name for each in found] == ["2024-01-31", "2024-02-01", "2024-02-02"]
    assert moment_deliveries(SHOP, at("2024-01-31")) == [Delivery(None, at("2024-01-31"), None)]


def test_a_backfill_of_a_range_knows_labels_when_the_cadence_says() -> None:
    found = moment_deliveries(SHOP, at("2024-01-31"), at("2024-02-29"), backfill=True)
    assert [(each.as_of, each.known_at, each.part) for each in found] == [
        (at("2024-01-31"), at("2024-01-31"), Part.FEATURES),
        (at("2024-01-31"), at("2024-02-29"), Part.LABELS),
        (at("2024-02-29"), at("2024-02-29"), Part.FEATURES),
        (at("2024-02-29"), at("2024-03-31"), Part.LABELS),
    ]
    yesterday = datetime.now(UTC) - timedelta(days=1)
    assert [each.part for each in moment_deliveries(SHOP, yesterday, backfill=True)] == [Part.FEATURES]


def test_moments_that_make_no_range_are_refused() -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with pytest.raises(DataError, match="is in the future"):
        moment_deliveries(SHOP, at("2024-01-31"), tomorrow)
    with pytest.raises(DataError, match="2024-01-30 is before 2024-01-31"):
        moment_deliveries(SHOP, at("2024-01-31"), at("2024-01-30"))
    for options in ({"until": at("2024-01-31")}, {"every": Every.DAY}, {"backfill": True}):
        with pytest.raises(DataError, match=r"has a first one: give it \(--from 2024-01-31\)"):
            moment_deliveries(SHOP, **options)  # type: ignore[arg-type]
