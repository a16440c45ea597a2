"""Broken extracts: each loads nothing, and its message names file, column, rows and rule."""

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from asof.errors import ExtractError
from asof.extracts.schema import RawTable
from asof.settings import Settings
from asof.use_cases.churn.raw_schema import EXTRACT
from tests.kits.data.extracts import Edit, contents, edited, extract_files, swap, write
from training.data.snapshots.snapshot import take_snapshot

JANUARY = datetime(2024, 1, 31, tzinfo=UTC)
FEBRUARY = datetime(2024, 2, 29, tzinfo=UTC)


@pytest.fixture(scope="module")
def january(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A database that holds one good month."""
    folder = write(tmp_path_factory.mktemp("good") / "january", extract_files())
    take_snapshot(settings, EXTRACT, folder, as_of=JANUARY, known_at=JANUARY)
    return settings


def _append(row: str) -> Edit:
    return lambda content: content + row.encode()


HOURS, SUBSCRIPTIONS, PAYMENTS = "usage_agg_30d", "subscriptions", "payments_agg_90d"

# What is done to which file, and what the message must say of it: a pattern, in which * is anything.
BROKEN: dict[str, tuple[str, Edit, str]] = {
    "empty": ("users", lambda _: b"", "the file is empty"),
    "header only": ("users", lambda content: content[: content.index(b"\n") + 1], "no rows below the header (row 1)"),
    "only a byte-order mark": ("users", lambda _: b"\xef\xbb\xbf\n", "column 'user_id' is missing"),
    "cut off in a value": (SUBSCRIPTIONS, lambda content: content[:-3], "row 13, the last, has no line end*cut off"),
    "cut off before the line end": (SUBSCRIPTIONS, lambda content: content[:-1], "row 13*cut off"),
    "cut off after a field": (SUBSCRIPTIONS, swap(",1100.5,No\n", "\n"), "row 13 *must have 9 fields*has 7"),
    "too many fields": (PAYMENTS, _append("99,1,1\n98\n"), "rows 14, 15 (2 in all*must have 2 fields*14 has 3"),
    "other delimiter": (PAYMENTS, swap(",", ";"), "row 1, the header: *separated by semicolons; save *with commas"),
    "blank lines": (PAYMENTS, swap("\n", "\n\n", 2), "column user_id: rows 2, 4 (2 in all*must not be empty"),
    "open quote": (SUBSCRIPTIONS, swap("One year", '"One year', 1), "row 2 *must have 9 fields*quotes"),
    "open quote at the end": (SUBSCRIPTIONS, swap("DSL", '"DSL', 1), "column net_service: row 2 *line break"),
    "line break": (SUBSCRIPTIONS, swap("One year", '"One\nyear"', 1), "column contract_type: row 2 *line break"),
    "other encoding": (SUBSCRIPTIONS, lambda content: content.replace(b"One", b"\xe4"), "row 2, byte * not UTF-8"),
    "utf-16": (SUBSCRIPTIONS, lambda content: content.decode().encode("utf-16"), "row 1, byte 0 * not UTF-8"),
    "zero byte": (SUBSCRIPTIONS, swap("One", "O\0e", 1), "row 2, byte * not UTF-8"),
    "missing column": (SUBSCRIPTIONS, swap("monthly_fee", "price"), "'monthly_fee' is missing*'price' is unknown"),
    "column more": (
        PAYMENTS,
        lambda content: content.replace(b"\n", b",x\n"),
        "row 1, the header: column 'x' is unknown",
    ),
    "column twice": (PAYMENTS, swap("failed_payments_90d", "user_id"), "column 'user_id' is there more than once"),
    "id twice": (PAYMENTS, _append("0003-ABCDE,0\n"), "user_id: rows 5, 14 (2 in all*unique*row 5 has '0003-ABCDE'"),
    "user twice": ("users", swap("0001-", "0000-"), "column user_id: rows 2, 3 (2 in all*must be unique"),
    "unknown id": (HOURS, swap("0005-", "99-"), "column user_id: row 7 *a user_id of users.csv; row 7 has '99-ABCDE'"),
    "unknown id of a label": ("labels", swap("0005-", "99-"), "column user_id: row 7 *a user_id of users.csv"),
    "blank before an id": (HOURS, swap("0005-", " 0005-"), "column user_id: row 7 *no blank at its ends"),
    "control character in an id": (HOURS, swap("0005-ABCDE", "0005\t"), "column user_id: row 7 *no control character"),
    "control character of Latin 1 in an id": (HOURS, swap("0005-", "0005\u0085"), "column user_id: row 7 *no control"),
    "blank after an id": (HOURS, swap("0005-ABCDE", "0005-ABCDE\u00a0"), "column user_id: row 7 *no blank at its ends"),
    "id without end": ("users", swap("0005-ABCDE", "A" * 501), "column user_id: row 7 *1 to 500 characters"),
    "text in a number": (SUBSCRIPTIONS, swap("24.25", "abc"), "column monthly_fee: row 6 *number*row 6 has 'abc'"),
    "comma in a number": (SUBSCRIPTIONS, swap("24.25", '"24,25"'), "column monthly_fee: row 6 *number*'24,25'"),
    "NaN": (SUBSCRIPTIONS, swap("24.25", "NaN"), "column monthly_fee: row 6 *finite number*'NaN'"),
    "infinity": (SUBSCRIPTIONS, swap("24.25", "-inf"), "column monthly_fee: row 6 *finite number*'-inf'"),
    "number without end": (SUBSCRIPTIONS, swap("24.25", "1e999"), "column monthly_fee: row 6 *finite number*'1e999'"),
    "part of a whole": (HOURS, swap(",0\n", ",0.5\n", 1), "column rebuffer_events_7d: row 2 *whole number*'0.5'"),
    "beyond 64 bits": (HOURS, swap(",0\n", f",{2**63}\n", 1), "column rebuffer_events_7d: row 2 *at most 18 digits"),
    "yes for true": ("users", swap("True", "yes", 1), "column has_family: row 2 *True or False*'yes'"),
    "one for true": ("users", swap("True", "1", 1), "column has_family: row 2 *True or False*'1'"),
    "word in a column with gaps": (SUBSCRIPTIONS, swap("4,True,", "4,yes,"), "column plan_stream_tv: row 6 *'yes'"),
    "no such day": ("users", swap("2022-01-05", "2022-02-30"), "column signup_date: row 6 *date*'2022-02-30'"),
    "other order of a date": ("users", swap("2022-01-05", "05/01/2022"), "column signup_date: row 6 *date*"),
    "nothing in a number": (SUBSCRIPTIONS, swap("24.25", ""), "column monthly_fee: row 6 *must not be empty"),
    "nothing in a label": ("labels", swap("True", '""', 1), "column churn_label: row 2 *must not be empty"),
    "too small": (SUBSCRIPTIONS, swap("24.25", "-0.01"), "column monthly_fee: row 6 *at least 0; row 6 has '-0.01'"),
    "too large": (HOURS, swap("5.125", "720.5"), "column watch_hours_30d: row 7 *at most 720; row 7 has '720.5'"),
    "other word": (
        "users",
        swap("Female", "F"),
        "user_gender: rows 2, 3, 4, 5, 6, ... (12 in all*'Female', 'Male'*'F'",
    ),
    "plan without internet": (
        SUBSCRIPTIONS,
        swap(",,", ",True,", 1),
        "columns plan_stream_tv, plan_stream_movies, net_service: row 4 *empty exactly where there is no internet",
    ),
    "internet without plan": (
        SUBSCRIPTIONS,
        swap("DSL", "No", 1),
        "columns plan_stream_tv, plan_stream_movies, net_service: row 2 *empty exactly where there is no internet",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_extract_loads_nothing_and_says_where_it_is_broken(
    january: Settings, tmp_path: Path, case: str
) -> None:
    file, edit, pattern = BROKEN[case]
    before = contents(january)
    folder = write(tmp_path / "extract", edited(extract_files(month=1), **{file: edit}))

    with pytest.raises(ExtractError) as refusal:
        take_snapshot(january, EXTRACT, folder, as_of=FEBRUARY)

    said = "\n".join(text for text in refusal.value.findings if text.startswith(f"{file}.csv: "))
    assert fnmatchcase(said, f"{file}.csv: *{pattern}*")
    assert contents(january) == before


@pytest.mark.parametrize("table", EXTRACT.tables, ids=lambda table: table.name)
def test_a_missing_file_loads_nothing_and_is_named(january: Settings, tmp_path: Path, table: RawTable) -> None:
    before = contents(january)
    folder = write(tmp_path / "extract", extract_files(month=1))
    (folder / f"{table.name}.csv").unlink()

    with pytest.raises(ExtractError) as refusal:
        take_snapshot(january, EXTRACT, folder, as_of=FEBRUARY)

    (finding,) = refusal.value.findings
    assert finding.startswith(f"{table.name}.csv: cannot be read: No such file")
    assert str(folder) in finding
    assert contents(january) == before


def test_a_folder_that_is_not_there_is_refused(january: Settings, tmp_path: Path) -> None:
    with pytest.raises(ExtractError, match=r"users\.csv: cannot be read: No such file"):
        take_snapshot(january, EXTRACT, tmp_path / "nowhere", as_of=FEBRUARY)


def test_all_findings_of_all_files_are_reported_at_once(january: Settings, tmp_path: Path) -> None:
    files = edited(
        extract_files(month=1),
        users=lambda content: content.replace(b"True", b"yes", 1).replace(b"Female", b"F", 1),
        subscriptions=lambda content: content.replace(b"24.25", b"-1").replace(b"25.25", b"abc"),
        labels=lambda content: content[:-1],
    )
    folder = write(tmp_path / "extract", files)

    with pytest.raises(ExtractError) as refusal:
        take_snapshot(january, EXTRACT, folder, as_of=FEBRUARY)

    assert [finding.split(": ")[:2] for finding in refusal.value.findings] == [
        ["users.csv", "column has_family"],
        ["subscriptions.csv", "column monthly_fee"],
        ["subscriptions.csv", "column monthly_fee"],
        ["labels.csv", "row 13, the last, has no line end"],
    ]


def test_a_label_of_a_user_unknown_at_that_moment_is_refused(january: Settings, tmp_path: Path) -> None:
    before = contents(january)
    files = edited({"labels": extract_files()["labels"]}, labels=swap("0005-", "9999-"))
    folder = write(tmp_path / "labels", files)

    with pytest.raises(ExtractError, match=r"labels\.csv: column user_id: row 7 .* table users as of 2024-01-31"):
        take_snapshot(january, EXTRACT, folder, as_of=JANUARY)

    assert contents(january) == before


def test_labels_of_a_month_whose_extract_is_not_there_are_refused(january: Settings, tmp_path: Path) -> None:
    folder = write(tmp_path / "labels", {"labels": extract_files()["labels"]})

    with pytest.raises(ExtractError, match=r"table users has no rows as of 2024-02-29.*load them first"):
        take_snapshot(january, EXTRACT, folder, as_of=FEBRUARY)


def test_a_column_that_is_wrong_throughout_is_reported_in_one_sentence(january: Settings, tmp_path: Path) -> None:
    many = edited(extract_files(users=2_000), usage_agg_30d=lambda content: content.replace(b".125,", b"h,"))
    folder = write(tmp_path / "extract", many)

    with pytest.raises(ExtractError) as refusal:
        take_snapshot(january, EXTRACT, folder, as_of=FEBRUARY)

    (finding,) = refusal.value.findings
    assert "rows 2, 3, 4, 5, 6, ... (2000 in all; the header is row 1)" in finding
    assert len(finding) < 250
