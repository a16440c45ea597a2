"""Which folders are loaded, as of which moment, and when each counts as known."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from asof.errors import DataError
from training.deliveries import Delivery, find_deliveries, month_end


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir()
    return folder


def test_numbered_months_describe_the_first_day_given_and_then_month_ends(tmp_path: Path) -> None:
    found = find_deliveries(make(tmp_path, "month_000", "month_001", "month_002", "truth"), first=date(2024, 1, 31))
    assert [(each.folder.name, each.as_of) for each in found] == [
        ("month_000", moment("2024-01-31")),
        ("month_001", moment("2024-02-29")),
        ("month_002", moment("2024-03-31")),
    ]
    assert {each.known_at for each in found} == {None}


def test_a_backfill_knows_labels_and_redeliveries_only_when_they_came(tmp_path: Path) -> None:
    folder = make(tmp_path, "month_000", "labels_000", "month_000_r1", "month_001")
    found = find_deliveries(folder, first=date(2024, 1, 31), backfill=True)
    assert [(each.folder.name, each.as_of, each.known_at) for each in found] == [
        ("month_000", moment("2024-01-31"), moment("2024-01-31")),
        ("labels_000", moment("2024-01-31"), moment("2024-02-29")),
        ("month_000_r1", moment("2024-01-31"), moment("2024-02-29")),
        ("month_001", moment("2024-02-29"), moment("2024-02-29")),
    ]


def test_a_month_is_loaded_before_its_labels(tmp_path: Path) -> None:
    found = find_deliveries(make(tmp_path, "labels_000", "month_000", "month_001"), first=date(2024, 1, 31))
    assert [each.folder.name for each in found] == ["month_000", "labels_000", "month_001"]


def test_an_extract_with_its_labels_inside_was_not_known_before_its_month_was_over(tmp_path: Path) -> None:
    (make(tmp_path, "month_000") / "month_000" / "labels.csv").touch()
    (found,) = find_deliveries(tmp_path, first=date(2024, 1, 31), backfill=True)
    assert found.known_at == moment("2024-02-29")


def test_a_dated_folder_names_its_own_moment(tmp_path: Path) -> None:
    (found,) = find_deliveries(make(tmp_path, "month_2024-04-30"))
    assert found == Delivery(tmp_path / "month_2024-04-30", moment("2024-04-30"), None)


def test_a_folder_of_csv_files_is_one_delivery(tmp_path: Path) -> None:
    (tmp_path / "users.csv").touch()
    assert find_deliveries(tmp_path, first=date(2024, 1, 31)) == [Delivery(tmp_path, moment("2024-01-31"), None)]


@pytest.mark.parametrize(("names", "told"), [((), "holds no month_000"), (("month_000",), "--as-of")])
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, names: tuple[str, ...], told: str) -> None:
    with pytest.raises(DataError, match=told):
        find_deliveries(make(tmp_path, *names))


@pytest.mark.parametrize(
    ("months", "expected"), [(0, "2023-11-15"), (1, "2023-12-31"), (3, "2024-02-29"), (14, "2025-01-31")]
)
def test_month_ends_roll_over_years_and_leap_days(months: int, expected: str) -> None:
    assert month_end(date(2023, 11, 15), months) == date.fromisoformat(expected)
