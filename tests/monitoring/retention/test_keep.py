"""Retention against real PostgreSQL: what is dropped is in a verified file, wherever the work is interrupted."""

import hashlib
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyarrow import parquet

from asof.errors import ConfigurationError, DataError
from asof.ledger.partitions import partitions
from asof.ledger.schema import create_tables
from asof.settings import Settings
from local.embedded_postgres.binaries import find_binaries
from monitoring.retention import keep, month_file
from monitoring.retention.columns import TYPES
from monitoring.retention.keep import Kept, keep_ledger
from monitoring.retention.month_file import file_rows_sha256
from monitoring.retention.partitions import detach

NOW = datetime.now(UTC)
BEFORE = datetime(2024, 2, 10, tzinfo=UTC)
INSERT = """
INSERT INTO ledger.predictions (at, request, model, target_as_of, score, item, status, decision, entity, code, api_key,
    caller_id, verdicts, scores, floats, integers, texts, moments)
SELECT %(at)s::timestamptz + n * interval '1 second', gen_random_uuid(), -n,
    CASE WHEN n %% 3 > 0 THEN %(at)s::timestamptz END,
    (ARRAY[0.1, 'NaN', 'Infinity', NULL, '-0', 5e-324]::float8[])[n %% 6 + 1], nullif(n %% 4, 0), 200,
    nullif(n %% 2, 0),
    CASE WHEN n %% 5 > 0 THEN 'José ' || n END, CASE n %% 5 WHEN 0 THEN 'entity-not-found' END, 'crm', NULL,
    nullif(repeat('P', n %% 3), ''),
    CASE n %% 3 WHEN 0 THEN '{}'::float8[] WHEN 1 THEN ARRAY[0.1, NULL, 'NaN']::float8[] END,
    CASE WHEN n %% 2 > 0 THEN ARRAY[n / 7.0, 1e300]::float8[] END, ARRAY[2::bigint ^ 62, NULL, -n]::bigint[],
    ARRAY['a, "b"', NULL, '年'], CASE WHEN n %% 2 > 0 THEN ARRAY[%(at)s::timestamptz, NULL] END
FROM generate_series(1, %(count)s) AS n"""
SHADOW = """
INSERT INTO ledger.shadow_scores (at, request, model, score, item, decision, entity, code, scores)
SELECT at, request, 7, CASE WHEN item IS NULL THEN 0.1 END, item, decision, entity, CASE item WHEN 1 THEN 'failed' END,
    CASE WHEN item = 2 THEN ARRAY[0.1, 0.9] END
FROM ledger.predictions WHERE at < '2024-02-01'"""
COLUMNS = ", ".join(TYPES)
BY_PSQL = f"""COPY (
SELECT {COLUMNS} FROM ledger.predictions_2024_01 ORDER BY at, request, item, status, entity COLLATE "C"
) TO STDOUT (FORMAT binary)"""


@pytest.fixture
def conninfo(settings: Settings) -> str:
    """A ledger with 50 answers of January 2024, 30 of February and 20 of today."""
    with psycopg.connect(settings.ledger_conninfo(), autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS ledger CASCADE")
        create_tables(connection)
        connection.execute("SELECT ledger.make_partitions('2024-01-01', '2024-02-01')")
        for at, count in ((datetime(2024, 1, 15, tzinfo=UTC), 50), (datetime(2024, 2, 1, tzinfo=UTC), 30), (NOW, 20)):
            connection.execute(INSERT.encode(), {"at": at, "count": count})
    return settings.ledger_conninfo()


def query(conninfo: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return connection.execute(statement.encode(), parameters or None).fetchall()


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.parquet"))


def tables(conninfo: str) -> list[str]:
    """The months of answers before this one that are tables."""
    with psycopg.connect(conninfo) as connection:
        return [each.name for each in partitions(connection) if each.end < NOW and each.table == "predictions"]


def assert_moved(conninfo: str, kept: Kept, folder: Path, before: list[tuple[Any, ...]]) -> None:
    """January is in one file and in no table, and the other months are where they were."""
    (file,) = files(folder)
    table = parquet.read_table(file)
    assert [str(each) for each in table["request"].to_pylist()] == [str(request) for request, *_ in before]
    assert table["entity"].to_pylist() == [entity for _, entity in before]
    assert tables(conninfo) == ["predictions_2024_02"]
    assert query(conninfo, "SELECT count(*) FROM ledger.predictions") == [(50,)]
    ((name, rows, file_digest, rows_digest),) = query(
        conninfo, "SELECT file, rows, file_sha256, rows_sha256 FROM ledger.exports"
    )
    assert (name, rows) == (str(file), 50)
    assert file_digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert rows_digest == file_rows_sha256(file)
    assert all(each.file_sha256 == file_digest for each in kept.months)


def january(conninfo: str) -> list[tuple[Any, ...]]:
    return query(conninfo, "SELECT request, entity FROM ledger.predictions WHERE at < '2024-02-01' ORDER BY at")


def test_a_month_is_moved_with_the_digest_that_psql_and_sha256sum_print(
    conninfo: str, settings: Settings, tmp_path: Path
) -> None:
    before = january(conninfo)
    psql = find_binaries().folder / "psql"
    printed = subprocess.run([psql, "-X", "-c", BY_PSQL, conninfo], capture_output=True, check=True).stdout
    kept = keep_ledger(conninfo, tmp_path / "archive", BEFORE)
    assert [(each.partition, each.rows, each.rows_sha256) for each in kept.months] == [
        ("predictions_2024_01", 50, hashlib.sha256(printed).hexdigest())
    ]
    assert_moved(conninfo, kept, tmp_path / "archive", before)
    for path in (tmp_path / "archive", *files(tmp_path / "archive")):
        assert path.stat().st_mode & 0o077 == 0
    assert keep_ledger(conninfo, tmp_path / "archive", BEFORE).months == ()


def test_every_value_is_in_the_file(conninfo: str, tmp_path: Path) -> None:
    wanted = query(conninfo, f"SELECT {COLUMNS} FROM ledger.predictions WHERE at < '2024-02-01' ORDER BY at, request")
    keep_ledger(conninfo, tmp_path, BEFORE)
    (file,) = files(tmp_path)
    found = parquet.read_table(file).to_pylist()
    assert [plain([*row.values()]) for row in found] == [plain([*row]) for row in wanted]


def test_shadow_scores_move_with_the_answers_of_their_month(conninfo: str, tmp_path: Path) -> None:
    query_all = "SELECT at, request, model, score, item, decision, entity, code, scores FROM ledger.shadow_scores"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(SHADOW)
    wanted = query(conninfo, f"{query_all} ORDER BY at, request")
    kept = keep_ledger(conninfo, tmp_path, BEFORE)
    assert [(each.partition, each.rows) for each in kept.months] == [
        ("predictions_2024_01", 50),
        ("shadow_scores_2024_01", 50),
    ]
    found = parquet.read_table(Path(kept.months[1].file)).to_pylist()
    assert [plain([*row.values()]) for row in found] == [plain([*row]) for row in wanted]
    assert query(conninfo, query_all) == []
    assert query(conninfo, "SELECT to_regclass('ledger.shadow_scores_2024_01')") == [(None,)]


def plain(value: Any) -> Any:
    """Comparable by equality: NaN and zone of a time are not."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else repr(value)


def test_months_to_come_are_made_and_records_of_shipped_files_deleted(conninfo: str, tmp_path: Path) -> None:
    add = "INSERT INTO ledger.segments (segment, shipped, rows, updated_at) VALUES (gen_random_uuid(), 1, 1, %s)"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for updated_at in (BEFORE - timedelta(days=1), NOW):
            connection.execute(add, [updated_at])
    kept = keep_ledger(conninfo, tmp_path, BEFORE)
    assert (kept.made, kept.segments) == (2, 1)  # of answers and of shadow scores
    assert query(conninfo, "SELECT count(*) FROM ledger.segments") == [(1,)]


def test_a_dry_run_changes_nothing(conninfo: str, tmp_path: Path) -> None:
    kept = keep_ledger(conninfo, tmp_path / "archive", BEFORE, dry_run=True)
    assert [(each.partition, each.rows) for each in kept.months] == [("predictions_2024_01", 50)]
    assert not (tmp_path / "archive").exists()
    assert len(tables(conninfo)) == 2


class Interrupted(Exception):
    pass


class Interruptible(psycopg.Connection[Any]):
    """Dies before or after its statement of a number."""

    number, after, count = 0, False, 0

    def execute(self, *statement: Any, **more: Any) -> Any:
        dies = Interruptible.number == Interruptible.count
        Interruptible.count += 1
        if dies and not Interruptible.after:
            raise Interrupted
        done = super().execute(*statement, **more)
        if dies:
            raise Interrupted
        return done


@pytest.mark.parametrize("after", [False, True])
def test_interrupted_anywhere_the_same_call_completes_it(
    conninfo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    before, number, interrupted = january(conninfo), 0, True
    while interrupted:
        folder = tmp_path / f"archive-{number}"
        with monkeypatch.context() as broken:
            broken.setattr(Interruptible, "number", number)
            broken.setattr(Interruptible, "after", after)
            broken.setattr(Interruptible, "count", 0)
            broken.setattr(keep.psycopg, "connect", Interruptible.connect)
            try:
                kept = keep_ledger(conninfo, folder, BEFORE)
                interrupted = False
            except Interrupted:
                assert "predictions_2024_01" in tables(conninfo) or len(files(folder)) == 1
        if interrupted:
            kept = keep_ledger(conninfo, folder, BEFORE)
        assert_moved(conninfo, kept, folder, before)
        _put_back(conninfo, files(folder)[0])
        number += 1
    assert number > 10


def _put_back(conninfo: str, file: Path) -> None:
    """The file's rows in a partition again, and no record of it."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SELECT ledger.make_partitions('2024-01-01', '2024-01-01')")
        connection.execute("ALTER TABLE ledger.exports DISABLE TRIGGER append_only; DELETE FROM ledger.exports")
        connection.execute("ALTER TABLE ledger.exports ENABLE TRIGGER append_only")
        names = ", ".join(TYPES)
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY ledger.predictions ({names}) FROM STDIN".encode()) as copy,
        ):
            for row in parquet.read_table(file).to_pylist():
                copy.write_row([*row.values()])


def test_an_interrupted_detachment_is_completed(conninfo: str, tmp_path: Path) -> None:
    before = january(conninfo)
    with psycopg.connect(conninfo) as reader, psycopg.connect(conninfo, autocommit=True) as connection:
        reader.execute("SELECT count(*) FROM ledger.predictions")  # its transaction stays open
        connection.execute("SET statement_timeout = '300ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            detach(connection, partitions(connection)[0])
        assert partitions(connection)[0].pending
    assert_moved(conninfo, keep_ledger(conninfo, tmp_path, BEFORE), tmp_path, before)


@pytest.mark.parametrize("pending", [False, True], ids=["detached", "being detached"])
def test_a_month_that_was_left_detached_is_moved_by_a_call_of_another_moment(
    conninfo: str, tmp_path: Path, pending: bool
) -> None:
    before = january(conninfo)
    with psycopg.connect(conninfo) as reader, psycopg.connect(conninfo, autocommit=True) as connection:
        if pending:
            reader.execute("SELECT count(*) FROM ledger.predictions")
            connection.execute("SET statement_timeout = '300ms'")
        try:
            detach(connection, partitions(connection)[0])
        except psycopg.errors.QueryCanceled:
            assert pending
        assert partitions(connection)[0].hidden
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    assert [each.rows for each in keep_ledger(conninfo, tmp_path, long_ago, dry_run=True).months] == [50]
    assert_moved(conninfo, keep_ledger(conninfo, tmp_path, long_ago), tmp_path, before)


def test_answers_that_arrive_meanwhile_are_in_the_file(
    conninfo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(connection: Any, partition: Any) -> None:
        if partition.table == "predictions":
            connection.execute(INSERT.encode(), {"at": datetime(2024, 1, 31, tzinfo=UTC), "count": 5})
        detach(connection, partition)

    monkeypatch.setattr(keep, "detach", late)
    kept = keep_ledger(conninfo, tmp_path, BEFORE)
    (file,) = files(tmp_path)
    assert kept.months[0].rows == len(parquet.read_table(file)) == 55


def test_answers_that_arrive_after_their_month_was_moved_get_a_file_of_their_own(conninfo: str, tmp_path: Path) -> None:
    keep_ledger(conninfo, tmp_path, BEFORE)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SELECT ledger.make_partitions('2024-01-31', '2024-01-31')")
        connection.execute(INSERT.encode(), {"at": datetime(2024, 1, 31, tzinfo=UTC), "count": 5})
    keep_ledger(conninfo, tmp_path, BEFORE)
    assert sorted(len(parquet.read_table(file)) for file in files(tmp_path)) == [5, 50]
    assert query(conninfo, "SELECT sum(rows) FROM ledger.exports") == [(55,)]


def test_a_month_whose_file_differs_stays(conninfo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = month_file.copy_fields

    def inexact(array: Any, pg_type: str) -> list[bytes]:
        fields = exact(array, pg_type)
        return [each[:-1] + b"\x01" for each in fields] if pg_type == "float8" else fields

    monkeypatch.setattr(month_file, "copy_fields", inexact)
    with pytest.raises(DataError, match="differs from table ledger"):
        keep_ledger(conninfo, tmp_path, BEFORE)
    assert files(tmp_path) == []
    assert query(conninfo, "SELECT count(*) FROM ledger.predictions") == [(100,)]


def test_a_damaged_file_of_the_same_rows_is_written_again(conninfo: str, tmp_path: Path) -> None:
    before = january(conninfo)
    keep_ledger(conninfo, tmp_path, BEFORE)
    (file,) = files(tmp_path)
    content = file.read_bytes()
    _put_back(conninfo, file)
    file.write_bytes(content[:500])
    assert_moved(conninfo, keep_ledger(conninfo, tmp_path, BEFORE), tmp_path, before)


def test_a_second_call_at_once_and_a_database_without_a_ledger_are_errors(conninfo: str, tmp_path: Path) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        assert connection.execute(keep.LOCK.encode()).fetchone() == (True,)
        with pytest.raises(ConfigurationError, match="at work"):
            keep_ledger(conninfo, tmp_path, BEFORE)
        connection.execute("DROP SCHEMA ledger CASCADE")
    with pytest.raises(ConfigurationError, match="no ledger"):
        keep_ledger(conninfo, tmp_path, BEFORE)


def test_a_partition_is_made_beside_a_reader(conninfo: str) -> None:
    with psycopg.connect(conninfo) as reader, psycopg.connect(conninfo, autocommit=True) as connection:
        reader.execute("SELECT count(*) FROM ledger.predictions")  # its transaction stays open
        connection.execute("SET lock_timeout = '2s'")
        connection.execute("SELECT ledger.make_partitions('2023-01-01', '2023-01-01')")
        parts = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'ledger' AND tablename = %s"
        assert connection.execute(parts.encode(), ["predictions_2023_01"]).fetchone() == (3,)


def test_readers_and_the_shipper_go_on_while_a_month_waits_to_be_detached(conninfo: str, tmp_path: Path) -> None:
    with psycopg.connect(conninfo) as reader:
        reader.execute("SELECT count(*) FROM ledger.predictions")
        work = threading.Thread(target=keep_ledger, args=(conninfo, tmp_path, BEFORE))
        work.start()
        until = time.monotonic() + 30
        while not query(conninfo, "SELECT FROM pg_inherits WHERE inhdetachpending") and time.monotonic() < until:
            time.sleep(0.05)
        assert query(conninfo, "SELECT count(*) FROM ledger.predictions") == [(50,)]
        with psycopg.connect(conninfo, autocommit=True) as shipper:
            shipper.execute("SET lock_timeout = '2s'")
            shipper.execute(INSERT.encode(), {"at": NOW, "count": 1})
    work.join(30)
    assert len(files(tmp_path)) == 1
