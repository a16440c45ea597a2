"""Which folders are loaded, as of which moment, and when each counts as known."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from asof.errors import DataError
from asof.extracts.cadence import month_end
from training.data.extracts.deliveries import Delivery, Part, anything_delivered, find_deliveries


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
        ("month_000_r1", moment("2024-01-31"), moment("2024-02-29")),
        ("labels_000", moment("2024-01-31"), moment("2024-02-29")),
        ("month_001", moment("2024-02-29"), moment("2024-02-29")),
    ]


def write_csv(folder: Path, *names: str) -> None:
    folder.mkdir()
    for name in names:
        (folder / f"{name}.csv").touch()


def test_a_month_is_loaded_before_its_labels(tmp_path: Path) -> None:
    found = find_deliveries(make(tmp_path, "labels_000", "month_000", "month_001"), first=date(2024, 1, 31))
    assert [each.folder.name for each in found] == ["month_000", "labels_000", "month_001"]


@pytest.mark.parametrize("labels", ["labels", "outcomes"])
def test_labels_inside_a_month_are_known_a_month_after_the_features_beside_them(tmp_path: Path, labels: str) -> None:
    for name in ("month_000", "month_000_r1"):
        write_csv(tmp_path / name, "users", labels)
    found = find_deliveries(tmp_path, first=date(2024, 1, 31), backfill=True, labels=labels)
    assert [(each.name, each.as_of, each.known_at) for each in found] == [
        ("month_000 (features)", moment("2024-01-31"), moment("2024-01-31")),
        ("month_000_r1 (features)", moment("2024-01-31"), moment("2024-02-29")),
        ("month_000 (labels)", moment("2024-01-31"), moment("2024-02-29")),
        ("month_000_r1 (labels)", moment("2024-01-31"), moment("2024-03-31")),
    ]
    assert {each.part for each in find_deliveries(tmp_path, first=date(2024, 1, 31))} == {Part.WHOLE}


def test_labels_alone_are_labels_whatever_their_folder_is_called(tmp_path: Path) -> None:
    write_csv(tmp_path / "month_000_r1", "labels")
    write_csv(tmp_path / "month_000", "users")
    found = find_deliveries(tmp_path, first=date(2024, 1, 31), backfill=True)
    assert [(each.name, each.known_at) for each in found] == [
        ("month_000", moment("2024-01-31")),
        ("month_000_r1", moment("2024-03-31")),
    ]


def test_redeliveries_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    again = [f"_r{number}" for number in range(1, 13)]
    names = [f"{what}_000{each}" for what in ("month", "labels") for each in ("", *again)]
    found = find_deliveries(make(tmp_path, *reversed(names)), first=date(2024, 1, 31))
    assert [each.folder.name for each in found] == names
    backfill = find_deliveries(tmp_path, first=date(2024, 1, 31), backfill=True)
    known = [each.known_at for each in backfill if each.folder.name.startswith("month")]
    assert known == sorted(known) == [moment(f"{month_end(date(2024, 1, 31), number)}") for number in range(13)]


def test_what_could_have_come_later_than_now_is_known_from_now_on(tmp_path: Path) -> None:
    month = datetime.now(UTC).date().replace(day=1) - timedelta(days=1)
    make(tmp_path, *(f"month_{month}{again}" for again in ("_r12", "_r2", "")))
    found = find_deliveries(tmp_path, backfill=True)
    assert [each.folder.name.partition("_r")[2] for each in found] == ["", "2", "12"]
    assert [each.known_at for each in found] == [moment(f"{month}"), None, None]


def test_numbers_count_as_numbers_however_they_are_written(tmp_path: Path) -> None:
    found = find_deliveries(make(tmp_path, "month_10", "month_2", "Month_003", "MONTH_001_R2"), first=date(2024, 1, 31))
    assert [(each.folder.name, each.as_of) for each in found] == [
        ("MONTH_001_R2", moment("2024-02-29")),
        ("month_2", moment("2024-03-31")),
        ("Month_003", moment("2024-04-30")),
        ("month_10", moment("2024-11-30")),
    ]


@pytest.mark.parametrize(
    "strange",
    [
        "month-003", "month003", "month_003 (copy)", "Copy of month_003", "month_003 ", "month_\uff10\uff10\uff13",
        "month_003_2", "month_003_r", "months_003", "label_3", "month_12345", "month_2024-1-31", "month_2024-01",
        "month_2024-02-30", "month_2199-01-31", "month_1000", "labels.003", "month_003_v2",
    ],
)  # fmt: skip
def test_what_looks_like_a_delivery_and_is_none_is_named_before_anything_is_loaded(
    tmp_path: Path, strange: str
) -> None:
    make(tmp_path, "month_000", "month_001", strange, "notes", ".~lock.month_003#", "truth")
    with pytest.raises(DataError, match=rf"{re.escape(repr(strange))}.*named month_000, month_2024-01-31") as refusal:
        find_deliveries(tmp_path, first=date(2024, 1, 31))
    assert "notes" not in str(refusal.value)
    assert "month_001" not in str(refusal.value)


def test_all_strangers_are_named_in_one_sentence(tmp_path: Path) -> None:
    make(tmp_path, "month_000", "month-001", "labels-001")
    (tmp_path / "month_002.tar.gz").touch()
    (tmp_path / "month_003").touch()
    (tmp_path / "month_004").symlink_to(tmp_path / "nowhere")
    strange = r"'labels-001', 'month-001', 'month_002.tar.gz', 'month_003' \(no folder\), 'month_004' \(no folder\)"
    with pytest.raises(DataError, match=strange):
        find_deliveries(tmp_path)


def test_a_file_beside_the_folder_of_its_name_is_no_delivery(tmp_path: Path) -> None:
    make(tmp_path, "month_000")
    for name in ("month_000.zip", "month_000.sha256", "README.md"):
        (tmp_path / name).touch()
    (found,) = find_deliveries(tmp_path, first=date(2024, 1, 31))
    assert found.folder.name == "month_000"


def test_a_folder_with_the_files_of_a_delivery_is_named_whatever_it_is_called(tmp_path: Path) -> None:
    write_csv(tmp_path / "month_000", "users", "usage")
    write_csv(tmp_path / "february", "usage")
    write_csv(tmp_path / "truth", "month_000")
    with pytest.raises(DataError, match=r"not one: 'february'\. A delivery"):
        find_deliveries(tmp_path, first=date(2024, 1, 31))


def test_months_beside_csv_files_are_named(tmp_path: Path) -> None:
    (make(tmp_path, "month_001") / "users.csv").touch()
    with pytest.raises(DataError, match=r"'month_001' \(beside data files\)"):
        find_deliveries(tmp_path, first=date(2024, 1, 31))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("month_003", "month_3"),
        ("month_003_r02", "month_003_r2"),
        ("Month_003", "month_003"),
        ("month_003", "month_003_r0"),
        ("month_003", "month_2024-04-30"),
        ("labels_003", "labels_3"),
    ],
)
def test_two_names_of_one_delivery_are_both_named(tmp_path: Path, one: str, other: str) -> None:
    with pytest.raises(DataError, match=rf"'{other}' \(the same as '{one}'\)"):
        find_deliveries(make(tmp_path, one, other), first=date(2024, 1, 31))


def test_a_link_to_a_folder_is_a_delivery_under_the_name_of_the_link(tmp_path: Path) -> None:
    make(tmp_path, "version-1")
    (tmp_path / "month_000").symlink_to(tmp_path / "version-1")
    (found,) = find_deliveries(tmp_path, first=date(2024, 1, 31))
    assert found.folder == tmp_path / "month_000"


def test_a_dated_folder_names_its_own_moment(tmp_path: Path) -> None:
    (found,) = find_deliveries(make(tmp_path, "month_2024-04-30"))
    assert found == Delivery(tmp_path / "month_2024-04-30", moment("2024-04-30"), None)


def test_a_folder_of_csv_files_is_one_delivery(tmp_path: Path) -> None:
    (tmp_path / "users.csv").touch()
    assert find_deliveries(tmp_path, first=date(2024, 1, 31)) == [Delivery(tmp_path, moment("2024-01-31"), None)]


@pytest.mark.parametrize(("names", "message"), [((), "holds no month_000"), (("month_000",), "--as-of")])
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_deliveries(make(tmp_path, *names))


@pytest.mark.parametrize(
    ("months", "expected"), [(0, "2023-11-15"), (1, "2023-12-31"), (3, "2024-02-29"), (14, "2025-01-31")]
)
def test_month_ends_roll_over_years_and_leap_days(months: int, expected: str) -> None:
    assert month_end(date(2023, 11, 15), months) == date.fromisoformat(expected)


@pytest.mark.parametrize(
    ("name", "delivered"), [("Month_000", True), ("month-3", True), ("lost+found", False), (".month_000", False)]
)
def test_a_folder_of_misnamed_months_is_not_taken_for_an_empty_one(tmp_path: Path, name: str, delivered: bool) -> None:
    """Else a new stack would load simulated extracts beside them."""
    assert anything_delivered(make(tmp_path, name)) is delivered
