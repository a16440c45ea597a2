"""Snapshots: what a load adds to the append-only two-time tables, and what it leaves as it is."""

import itertools
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

import training.data.snapshots.snapshot
from asof.errors import ConfigurationError, HistoryError
from asof.extracts.schema import Column, Kind, RawTable
from asof.settings import Settings
from asof.use_cases import load as load_use_case
from asof.use_cases.churn.raw_schema import EXTRACT
from tests.kits.data.extracts import TABLES, USERS, Files, contents, edited, extract_files, fetch, swap, write
from training.data.extracts.deliveries import find_deliveries
from training.data.snapshots.provenance import code_version
from training.data.snapshots.snapshot import Snapshot, take_snapshot
from training.data.snapshots.tables import load_transaction, prepare_tables
from training.features.datasets.dataset import newest_labelled
from training.inspection import months_known

CHURN = load_use_case("churn")
JANUARY = datetime(2024, 1, 31, tzinfo=UTC)
FEBRUARY = datetime(2024, 2, 29, tzinfo=UTC)
MARCH = datetime(2024, 3, 31, tzinfo=UTC)
APRIL = datetime(2024, 4, 30, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def database(settings: Settings) -> Iterator[Settings]:
    """A database without any table."""
    yield settings
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


class Loader:
    """Writes each extract into a folder of its own, and loads it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder, self.number = settings, folder, itertools.count()

    def __call__(self, files: Files, as_of: datetime, known_at: datetime | None = None) -> Snapshot:
        folder = write(self.folder / f"delivery_{next(self.number)}", files)
        return take_snapshot(self.settings, EXTRACT, folder, as_of=as_of, known_at=known_at)


@pytest.fixture
def load(database: Settings, tmp_path: Path) -> Loader:
    return Loader(database, tmp_path)


def counts(number: int, tables: Sequence[str] = TABLES) -> dict[str, int]:
    return dict.fromkeys(tables, number)


def rows_of(tables: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    return {name: rows for name, rows in tables.items() if name != "loads"}


def rows_in(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of every snapshot table."""
    return rows_of(contents(settings))


# --- one load


def test_a_load_adds_every_row_under_both_of_its_times(load: Loader, database: Settings) -> None:
    snapshot = load(extract_files(), JANUARY, FEBRUARY)

    assert (snapshot.as_of, snapshot.known_at) == (JANUARY, FEBRUARY)
    assert snapshot.rows == snapshot.new_rows == counts(USERS)
    assert fetch(database, "SELECT * FROM subscriptions ORDER BY user_id LIMIT 3") == [
        ("0000-ABCDE", JANUARY, FEBRUARY, 0, True, False, "One year", True, 20.25, 0.5, "DSL"),
        ("0001-ABCDE", JANUARY, FEBRUARY, 1, True, False, "One year", True, 21.25, 100.5, "DSL"),
        ("0002-ABCDE", JANUARY, FEBRUARY, 2, None, None, "One year", True, 22.25, 200.5, "No"),
    ]
    assert fetch(database, "SELECT * FROM support_agg_90d ORDER BY user_id LIMIT 2") == [
        ("0000-ABCDE", JANUARY, FEBRUARY, 0, None),
        ("0001-ABCDE", JANUARY, FEBRUARY, 1, 2.5),
    ]


def test_a_load_is_recorded_with_its_folder_files_and_code_version(load: Loader, database: Settings) -> None:
    began = datetime.now(UTC)
    snapshot = load(extract_files(labels=False), JANUARY, FEBRUARY)

    ((load_id, folder, as_of, known_at, loaded_at, version, files),) = fetch(database, "SELECT * FROM loads")
    assert (load_id, folder, as_of, known_at) == (snapshot.load_id, str(load.folder / "delivery_0"), JANUARY, FEBRUARY)
    assert began < loaded_at < datetime.now(UTC)
    assert version == str(code_version())
    assert files == {
        f"{table.name}.csv": {"sha256": snapshot.files[f"{table.name}.csv"], "rows": USERS, "new_rows": USERS}
        for table in EXTRACT.tables
    }


def test_without_a_moment_of_knowledge_rows_are_known_from_now_on(load: Loader) -> None:
    before = datetime.now(UTC)
    snapshot = load(extract_files(), JANUARY)

    assert before < snapshot.known_at < datetime.now(UTC)


@pytest.mark.parametrize(
    ("as_of", "known_at", "message"),
    [
        (FEBRUARY, JANUARY, "known_at 2024-01-31.* lies before as_of 2024-02-29"),
        (JANUARY, datetime.now(UTC) + DAY, "lies in the future"),
        (datetime.now(UTC) + DAY, None, "lies before as_of"),
        (datetime(2024, 1, 31), FEBRUARY, "as_of 2024-01-31T00:00:00 has no time zone"),  # noqa: DTZ001
        (JANUARY, datetime(2024, 1, 31), "known_at 2024-01-31T00:00:00 has no time zone"),  # noqa: DTZ001
    ],
)
def test_a_moment_that_cannot_be_is_refused(
    load: Loader, database: Settings, as_of: datetime, known_at: datetime | None, message: str
) -> None:
    with pytest.raises(HistoryError, match=message):
        load(extract_files(), as_of, known_at)

    assert contents(database) == {}


# --- the same and changed extracts


def test_the_same_extract_again_changes_nothing(load: Loader, database: Settings) -> None:
    first = load(extract_files(), JANUARY, FEBRUARY)
    before = contents(database)

    again = take_snapshot(database, EXTRACT, load.folder / "delivery_0", as_of=JANUARY, known_at=MARCH)

    assert (again.rows, again.new_rows, again.load_id) == (counts(USERS), counts(0), None)
    assert contents(database) == before

    elsewhere = load(extract_files(), JANUARY, MARCH)

    assert (elsewhere.rows, elsewhere.new_rows) == (counts(USERS), counts(0))
    assert elsewhere.load_id == first.load_id + 1, "it is recorded that this place had it"
    assert rows_in(database) == rows_of(before)


def test_a_changed_row_becomes_a_new_row_known_later(load: Loader, database: Settings) -> None:
    load(extract_files(), JANUARY, FEBRUARY)
    changed = edited(extract_files(), usage_agg_30d=swap("0003-ABCDE,3.125", "0003-ABCDE,9.5"))

    correction = load(changed, JANUARY, MARCH)

    assert correction.new_rows == counts(0) | {"usage_agg_30d": 1}
    query = "SELECT created_at, watch_hours_30d FROM usage_agg_30d WHERE user_id = '0003-ABCDE' ORDER BY 1"
    assert fetch(database, query) == [(FEBRUARY, 3.125), (MARCH, 9.5)]


@pytest.mark.parametrize("change", [("0,\n", "0,1.5\n"), ("1,2.5\n", "1,\n")], ids=["to a value", "to nothing"])
def test_a_change_from_or_to_nothing_is_a_change(load: Loader, change: tuple[str, str]) -> None:
    load(extract_files(), JANUARY, FEBRUARY)

    correction = load(edited(extract_files(), support_agg_90d=swap(*change, count=1)), JANUARY, MARCH)

    assert correction.new_rows == counts(0) | {"support_agg_90d": 1}


def test_a_value_that_returns_to_its_first_is_a_correction_too(load: Loader, database: Settings) -> None:
    changed = edited(extract_files(), payments_agg_90d=swap("0003-ABCDE,1", "0003-ABCDE,5"))
    for number, files in enumerate([extract_files(), changed, extract_files()]):
        load(files, JANUARY, FEBRUARY + number * DAY)

    query = "SELECT failed_payments_90d FROM payments_agg_90d WHERE user_id = '0003-ABCDE' ORDER BY created_at"
    assert fetch(database, query) == [(1,), (5,), (1,)]


def test_late_rows_are_added_when_they_come(load: Loader, database: Settings) -> None:
    early = edited(extract_files(), usage_agg_30d=lambda content: content[: content.index(b"0009")])
    load(early, JANUARY, FEBRUARY)

    late = load(extract_files(), JANUARY, MARCH)

    assert late.new_rows == counts(0) | {"usage_agg_30d": 3}
    query = "SELECT created_at, count(*) FROM usage_agg_30d GROUP BY 1 ORDER BY 1"
    assert fetch(database, query) == [(FEBRUARY, USERS - 3), (MARCH, 3)]


def test_a_user_whom_a_redelivery_leaves_out_is_kept(
    load: Loader, database: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    load(extract_files(), JANUARY, FEBRUARY)
    before = rows_in(database)

    load(extract_files(users=USERS - 2), JANUARY, MARCH)

    assert rows_in(database) == before
    assert "users: 10 rows read, 0 new; 2 known rows not delivered, kept" in caplog.messages


# --- one place, delivered again and again


class Place:
    """One folder whose files are replaced from delivery to delivery."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder

    def __call__(self, files: Files, known_at: datetime | None = None) -> Snapshot:
        shutil.rmtree(self.folder, ignore_errors=True)
        write(self.folder, files)
        return take_snapshot(self.settings, EXTRACT, self.folder, as_of=JANUARY, known_at=known_at)

    def failed_payments(self) -> list[int]:
        """What was known of one user, one after another."""
        query = "SELECT failed_payments_90d FROM payments_agg_90d WHERE user_id = '0003-ABCDE' ORDER BY created_at"
        return [number for (number,) in fetch(self.settings, query)]


@pytest.fixture
def month(database: Settings, tmp_path: Path) -> Place:
    return Place(database, tmp_path / "month_000")


def paid(failed: int) -> Files:
    return edited(extract_files(), payments_agg_90d=swap("0003-ABCDE,1", f"0003-ABCDE,{failed}"))


def test_a_folder_delivered_as_before_restores_its_values(month: Place) -> None:
    new = [month(paid(failed)).new_rows["payments_agg_90d"] for failed in (1, 5, 1, 1, 5)]

    assert new == [USERS, 1, 1, 0, 1]
    assert month.failed_payments() == [1, 5, 1, 5]


def test_what_adds_nothing_is_what_was_loaded_last_all_the_same(month: Place, tmp_path: Path) -> None:
    """The folder takes the values that another has brought, and then its own of before."""
    month(paid(1))
    Place(month.settings, tmp_path / "month_000_r1")(paid(5))

    assert [sum(month(paid(failed)).new_rows.values()) for failed in (5, 1)] == [0, 1]
    assert month.failed_payments() == [1, 5, 1]


def test_redeliveries_of_the_same_bytes_do_not_come_back_when_all_are_loaded_again(
    month: Place, tmp_path: Path
) -> None:
    places = [month, *(Place(month.settings, tmp_path / f"month_000_r{number}") for number in (1, 2))]
    for _ in range(3):
        for place, failed in zip(places, (1, 1, 5), strict=True):
            place(paid(failed))

    assert month.failed_payments() == [1, 5]


def corrected(month: Place, name: str = "month_000_r1") -> None:
    """The month, and beside it the redelivery that corrects it."""
    month(paid(1))
    Place(month.settings, month.folder.with_name(name))(paid(5))


@pytest.mark.parametrize("names", [("month_000", "month_000_r1"), ("Month_0", "month_000_R01"), ("month_2024-01-31",)])
def test_extracts_that_were_moved_are_not_loaded_twice(month: Place, tmp_path: Path, names: tuple[str, ...]) -> None:
    """Else the month would take back at its new place what a redelivery has corrected."""
    corrected(month)
    before = contents(month.settings)

    for name, failed in zip(names, (1, 5), strict=False):
        assert Place(month.settings, tmp_path / "moved" / name)(paid(failed)).load_id is None

    assert contents(month.settings) == before


def test_a_mounted_or_linked_folder_is_the_same_delivery(month: Place, tmp_path: Path) -> None:
    corrected(month)
    before = contents(month.settings)
    (tmp_path / "mnt").mkdir()
    (tmp_path / "mnt" / "extracts").symlink_to(tmp_path)

    for folder in (tmp_path / "mnt" / "extracts", tmp_path / "mnt" / ".."):
        for each in find_deliveries(folder, first=JANUARY.date()):
            take_snapshot(month.settings, EXTRACT, each.folder, as_of=each.as_of)

    assert contents(month.settings) == before


def test_a_moved_delivery_that_has_changed_counts_and_so_does_its_way_back(month: Place, tmp_path: Path) -> None:
    corrected(month)
    moved = Place(month.settings, tmp_path / "moved" / "month_000")

    new = [moved(paid(failed)).new_rows["payments_agg_90d"] for failed in (1, 7, 1)]

    assert new == [0, 1, 1]
    assert month.failed_payments() == [1, 5, 7, 1]


def test_inboxes_of_whole_deliveries_do_not_take_each_other_back(month: Place, tmp_path: Path) -> None:
    """Each inbox holds its month_000; all are ingested again every night."""
    inboxes = [Place(month.settings, tmp_path / f"inbox-{number}" / "month_000") for number in range(3)]
    for _ in range(2):
        for inbox, failed in zip(inboxes, (1, 5, 1), strict=True):
            inbox(paid(failed))

    assert month.failed_payments() == [1, 5, 1]


def test_of_a_changed_folder_only_the_files_that_changed_are_loaded(month: Place, tmp_path: Path) -> None:
    """Else the others would take back what a redelivery has corrected."""
    month(paid(1))
    Place(month.settings, tmp_path / "month_000_r1")(paid(5))

    changed = month(edited(paid(1), usage_agg_30d=swap("0003-ABCDE,3.125", "0003-ABCDE,9.5")))

    assert changed.new_rows == counts(0) | {"usage_agg_30d": 1}
    assert month.failed_payments() == [1, 5]
    assert month(extract_files()).new_rows == counts(0) | {"usage_agg_30d": 1}


def test_rows_that_were_left_out_and_come_back_are_there_once(month: Place) -> None:
    month(extract_files())
    before = rows_in(month.settings)
    month(extract_files(users=USERS - 3))

    assert month(extract_files()).new_rows == counts(0)
    assert rows_in(month.settings) == before


def test_a_link_that_points_back_to_the_first_folder_is_a_delivery_of_it(month: Place, tmp_path: Path) -> None:
    for number, failed in enumerate((1, 5)):
        write(tmp_path / f"version-{number}", paid(failed))
    for number in (0, 1, 0):
        month.folder.unlink(missing_ok=True)
        month.folder.symlink_to(tmp_path / f"version-{number}")
        take_snapshot(month.settings, EXTRACT, month.folder, as_of=JANUARY)

    assert month.failed_payments() == [1, 5, 1]


def test_a_backfill_of_what_has_changed_since_is_refused_and_not_left_out_in_silence(month: Place) -> None:
    month(paid(1), FEBRUARY)
    month(paid(5))
    before = contents(month.settings)

    with pytest.raises(HistoryError, match=r"payments_agg_90d\.csv has changed.*without --backfill"):
        month(paid(1), FEBRUARY)

    assert contents(month.settings) == before
    month(paid(1))
    assert month.failed_payments() == [1, 5, 1]


def test_features_and_labels_of_one_folder_have_moments_of_their_own(database: Settings, tmp_path: Path) -> None:
    """The month's redelivery comes when its labels do, and the labels of that one a month later."""
    write(tmp_path / "month_000", extract_files())
    again = edited(paid(5), labels=swap("0003-ABCDE,False", "0003-ABCDE,True"))
    write(tmp_path / "month_000_r1", again)

    for _ in range(2):
        for each in find_deliveries(tmp_path, first=JANUARY.date(), backfill=True):
            times = {"as_of": each.as_of, "known_at": each.known_at}
            take_snapshot(database, EXTRACT, each.folder, **times, part=each.part)

    known = {
        table: fetch(database, f"SELECT created_at, count(*) FROM {table} GROUP BY 1 ORDER BY 1") for table in TABLES
    }
    assert known == {table: [(JANUARY, USERS)] for table in TABLES} | {
        "payments_agg_90d": [(JANUARY, USERS), (FEBRUARY, 1)],
        "labels": [(FEBRUARY, USERS), (MARCH, 1)],
    }
    assert fetch(database, "SELECT known_at, files ? 'labels.csv' FROM loads ORDER BY load_id") == [
        (JANUARY, False),
        (FEBRUARY, False),
        (FEBRUARY, True),
        (MARCH, True),
    ]


# --- history


def _late_load(load: Loader) -> None:
    load(extract_files(), JANUARY, FEBRUARY)
    load(edited(extract_files(), payments_agg_90d=swap("0003-ABCDE,1", "0003-ABCDE,5")), JANUARY, MARCH)


@pytest.mark.parametrize("known_at", [FEBRUARY, FEBRUARY + DAY, MARCH], ids=["first", "between", "last"])
def test_a_load_that_would_change_what_was_known_is_refused(
    load: Loader, database: Settings, known_at: datetime
) -> None:
    _late_load(load)
    before = contents(database)
    changed = edited(extract_files(), payments_agg_90d=swap("0004-ABCDE,0", "0004-ABCDE,2"))

    with pytest.raises(HistoryError) as refusal:
        load(changed, JANUARY, known_at)

    words = ["payments_agg_90d as of 2024-01-31", known_at.isoformat(), MARCH.isoformat(), "Give a known_at after"]
    assert [word for word in words if word not in str(refusal.value)] == []
    assert contents(database) == before


def test_a_backfill_that_is_repeated_after_a_correction_changes_nothing(load: Loader, database: Settings) -> None:
    _late_load(load)
    before = rows_in(database)

    assert load(extract_files(), JANUARY, FEBRUARY).new_rows == counts(0)
    assert rows_in(database) == before


def test_a_folder_that_was_corrected_by_another_is_not_loaded_again(
    load: Loader, database: Settings, tmp_path: Path
) -> None:
    first = write(tmp_path / "first", extract_files())
    take_snapshot(database, EXTRACT, first, as_of=JANUARY)
    load(edited(extract_files(), payments_agg_90d=swap(",0", ",4", 1)), JANUARY)
    before = contents(database)
    assert take_snapshot(database, EXTRACT, first, as_of=JANUARY).load_id is None
    assert contents(database) == before


def test_another_month_may_be_known_earlier(load: Loader) -> None:
    load(extract_files(), FEBRUARY, APRIL)

    assert load(extract_files(), JANUARY, MARCH).new_rows == counts(USERS)


@pytest.mark.parametrize("step", [2, pytest.param(1, marks=pytest.mark.soak)])
def test_months_in_any_order_give_the_same_tables(load: Loader, database: Settings, step: int) -> None:
    """Each of them first once, or every order."""
    corrected = edited(extract_files(month=1), subscriptions=swap("0003-ABCDE,3", "0003-ABCDE,33"))
    months = [
        [(extract_files(), JANUARY, FEBRUARY)],
        [(extract_files(month=1, labels=False), FEBRUARY, MARCH), (corrected, FEBRUARY, APRIL)],
        [(extract_files(month=2, users=USERS + 3), MARCH, MARCH)],
    ]
    seen = []
    for order in itertools.islice(itertools.permutations(months), None, None, step):
        for delivery in itertools.chain.from_iterable(order):
            load(*delivery)
        seen.append(rows_in(database))
        with psycopg.connect(database.conninfo()) as connection:
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    assert [len(rows) for rows in seen[0].values()] == [39, 40, 39, 39, 39, 39]
    assert all(tables == seen[0] for tables in seen)


@pytest.mark.parametrize("statement", ["UPDATE {} SET as_of = now()", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("table", [*TABLES, "loads"])
def test_nothing_that_was_loaded_can_be_rewritten(settings: Settings, statement: str, table: str) -> None:
    prepare_tables(settings, EXTRACT)

    with pytest.raises(psycopg.errors.RaiseException, match=f"of table {table} is refused: it is append-only"):
        fetch(settings, statement.format(table))


# --- whose tables they are

RETENTION = replace(EXTRACT, use_case="retention")


def test_a_table_of_one_use_case_takes_no_rows_of_another(load: Loader, database: Settings, tmp_path: Path) -> None:
    """Two checkouts on one database: neither sees the other's code."""
    load(extract_files(), JANUARY)
    prepare_tables(database, CHURN.extract)
    before = contents(database)
    both = "public.labels belongs to use case 'churn', and 'retention' has a raw table of that name"

    folder = write(tmp_path / "retention", extract_files(month=1))
    for refused in (
        lambda: take_snapshot(database, RETENTION, folder, as_of=JANUARY),
        lambda: prepare_tables(database, RETENTION),
        lambda: newest_labelled(database, replace(CHURN, name="retention")),
        lambda: months_known(database, RETENTION, JANUARY),
    ):
        with pytest.raises(ConfigurationError, match=both):
            refused()

    assert contents(database) == before
    take_snapshot(database, CHURN.extract, folder, as_of=JANUARY)


def test_a_foreign_table_of_other_columns_is_named_without_advice_to_alter_it(database: Settings) -> None:
    prepare_tables(database, CHURN.extract)
    other = replace(RETENTION, labels=RawTable("labels", (Column("user_id", Kind.TEXT), Column("left", Kind.BOOLEAN))))

    with pytest.raises(ConfigurationError, match="belongs to use case 'churn'") as refusal:
        prepare_tables(database, other)

    assert "ALTER TABLE" not in str(refusal.value)


def test_a_renamed_use_case_keeps_its_tables_where_that_is_said(database: Settings) -> None:
    prepare_tables(database, CHURN.extract)
    with psycopg.connect(database.conninfo()) as connection:
        for table in TABLES:
            connection.execute(f"COMMENT ON TABLE public.{table} IS 'AsOf use case: retention'")

    prepare_tables(database, RETENTION)
    with pytest.raises(ConfigurationError, match="belongs to use case 'retention', and 'churn'"):
        prepare_tables(database, CHURN.extract)


def test_a_comment_by_others_stays(database: Settings) -> None:
    prepare_tables(database, EXTRACT)
    with psycopg.connect(database.conninfo()) as connection:
        connection.execute("COMMENT ON TABLE public.users IS 'GDPR: personal data'")

    prepare_tables(database, CHURN.extract)

    query = "SELECT obj_description('public.users'::regclass), obj_description('public.labels'::regclass)"
    assert fetch(database, query) == [("GDPR: personal data", "AsOf use case: churn")]


# --- labels


def test_labels_may_come_later_in_a_folder_of_their_own(load: Loader, database: Settings) -> None:
    load(extract_files(labels=False), JANUARY, JANUARY)

    delivery = load({"labels": extract_files()["labels"]}, JANUARY, FEBRUARY)

    assert delivery.rows == delivery.new_rows == {"labels": USERS}
    assert list(delivery.files) == ["labels.csv"]
    assert fetch(database, "SELECT DISTINCT as_of, created_at FROM labels") == [(JANUARY, FEBRUARY)]


def test_a_label_may_be_corrected(load: Loader, database: Settings) -> None:
    load(extract_files(), JANUARY, FEBRUARY)

    delivery = load({"labels": swap("0003-ABCDE,False", "0003-ABCDE,True")(extract_files()["labels"])}, JANUARY, MARCH)

    assert delivery.new_rows == {"labels": 1}
    query = "SELECT created_at, churn_label FROM labels WHERE user_id = '0003-ABCDE' ORDER BY 1"
    assert fetch(database, query) == [(FEBRUARY, False), (MARCH, True)]


def test_a_label_of_a_user_who_came_late_is_taken(load: Loader) -> None:
    load(extract_files(users=USERS - 1, labels=False), JANUARY, JANUARY)
    load(extract_files(labels=False), JANUARY, FEBRUARY)

    assert load({"labels": extract_files()["labels"]}, JANUARY, MARCH).new_rows == {"labels": USERS}


# --- all or nothing, one after the other


@pytest.mark.parametrize("end", ["our process fails", "the server goes away"])
def test_a_load_that_breaks_off_in_the_middle_loads_nothing(
    load: Loader, database: Settings, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    load(extract_files(), JANUARY, FEBRUARY)
    before = contents(database)
    original = training.data.snapshots.snapshot.append

    def break_off(connection: psycopg.Connection, *arguments: object) -> int:
        added = original(connection, *arguments)
        if arguments[0] is EXTRACT.tables[2]:
            if end == "our process fails":
                raise KeyboardInterrupt
            fetch(database, f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        return added

    monkeypatch.setattr(training.data.snapshots.snapshot, "append", break_off)
    with pytest.raises((KeyboardInterrupt, psycopg.OperationalError)):
        load(extract_files(month=1), FEBRUARY, MARCH)

    assert contents(database) == before


def test_a_load_waits_for_the_one_that_is_running(load: Loader, database: Settings) -> None:
    with ThreadPoolExecutor(1) as pool:
        with load_transaction(database):
            waiting = pool.submit(load, extract_files(), JANUARY)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
            turned = datetime.now(UTC)
        snapshot = waiting.result(timeout=120)

    assert snapshot.new_rows == counts(USERS)
    assert snapshot.known_at > turned


def test_four_loads_of_the_same_extract_at_once_load_it_once(load: Loader, database: Settings) -> None:
    start = threading.Barrier(4)

    def together(_: int) -> Snapshot:
        start.wait()
        return load(extract_files(), JANUARY)

    with ThreadPoolExecutor(4) as pool:
        snapshots = list(pool.map(together, range(4)))

    assert sorted(snapshot.new_rows["users"] for snapshot in snapshots) == [0, 0, 0, USERS]
    assert {name: len(rows) for name, rows in rows_in(database).items()} == counts(USERS)


# --- tables


def test_tables_are_prepared_once_however_many_prepare_them(database: Settings) -> None:
    start = threading.Barrier(4)

    def together(_: int) -> None:
        start.wait()
        prepare_tables(database, EXTRACT)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(together, range(4)))

    assert {name: len(rows) for name, rows in contents(database).items()} == counts(0) | {"loads": 0}


def test_a_table_with_other_columns_is_left_alone_and_named(load: Loader, database: Settings) -> None:
    with psycopg.connect(database.conninfo()) as connection:
        connection.execute("CREATE TABLE users (user_id text, as_of timestamptz, created_at timestamptz, email text)")

    with pytest.raises(ConfigurationError, match=r"public\.users is not the schema's: email, has_dependents, "):
        load(extract_files(), JANUARY)

    assert list(contents(database)) == ["users"]


# --- the real extracts


def test_the_real_extracts_load_whole(database: Settings, streamflow: Path) -> None:
    for name, as_of in {"month_001": FEBRUARY, "month_000": JANUARY}.items():
        snapshot = take_snapshot(database, EXTRACT, streamflow / name, as_of=as_of)
        assert snapshot.rows == snapshot.new_rows == counts(7043)

    plans = """
        SELECT as_of, count(*), count(*) FILTER (WHERE net_service = 'No'),
               count(*) FILTER (WHERE plan_stream_tv IS NULL AND plan_stream_movies IS NULL),
               count(*) FILTER (WHERE net_service = 'No' AND (plan_stream_tv OR plan_stream_movies))
        FROM subscriptions GROUP BY 1 ORDER BY 1"""
    assert fetch(database, plans) == [(JANUARY, 7043, 1526, 1526, 0), (FEBRUARY, 7043, 1526, 1526, 0)]
    churn = "SELECT round(100 * avg(churn_label::int), 2)::float FROM labels GROUP BY as_of ORDER BY as_of"
    assert fetch(database, churn) == [(26.54,), (24.15,)]
    assert fetch(database, "SELECT sum(watch_hours_30d) FROM usage_agg_30d WHERE as_of = '2024-01-31'") == [
        (pytest.approx(_sum_of_hours(streamflow / "month_000" / "usage_agg_30d.csv"), rel=1e-12),)
    ]


def _sum_of_hours(file: Path) -> float:
    return sum(float(line.split(",")[1]) for line in file.read_text().splitlines()[1:])
