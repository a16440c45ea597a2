"""Snapshot tables by month: what a partition is, how a table of an older version becomes one, and who may read it."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from asof.settings import Settings
from asof.use_cases.churn.raw_schema import EXTRACT
from local.embedded_postgres.binaries import find_binaries
from tests.kits.data.extracts import TABLES, contents, extract_files, fetch, unpartitioned, write
from tests.kits.machine.databases import fresh
from training.data.snapshots.snapshot import take_snapshot
from training.data.snapshots.tables import prepare_tables

JANUARY, FEBRUARY, MARCH = (datetime(2024, month, day, tzinfo=UTC) for month, day in ((1, 31), (2, 29), (3, 31)))
PARTS = """
SELECT relname::text FROM pg_inherits JOIN pg_class ON oid = inhrelid
WHERE inhparent = 'public.users'::regclass ORDER BY 1"""


@pytest.fixture
def database(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Two months of every table."""
    for number, moment in enumerate((JANUARY, FEBRUARY)):
        take_snapshot(settings, EXTRACT, write(tmp_path / f"month_{number}", extract_files(month=number)), as_of=moment)
    yield settings
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute("DROP SCHEMA public CASCADE; DROP SCHEMA months CASCADE; CREATE SCHEMA public")


def parts(settings: Settings) -> list[str]:
    return [name for (name,) in fetch(settings, PARTS)]


def test_a_load_makes_the_partition_of_its_month(database: Settings) -> None:
    assert parts(database) == ["users_2024_01", "users_2024_02"]
    assert (
        fetch(database, "SELECT count(*), min(as_of), max(as_of) FROM months.users_2024_02")[0][1:] == (FEBRUARY,) * 2
    )


@pytest.mark.parametrize("statement", ["UPDATE {} SET as_of = now()", "DELETE FROM {}", "TRUNCATE {}"])
def test_a_partition_refuses_what_the_table_refuses(database: Settings, statement: str) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="of table users_2024_01 is refused: it is append-only"):
        fetch(database, statement.format("months.users_2024_01"))


def test_tables_of_an_older_version_are_partitioned_once_with_all_their_rows(
    database: Settings, tmp_path: Path
) -> None:
    with psycopg.connect(database.conninfo()) as connection:
        unpartitioned(connection, TABLES)
        connection.execute("COMMENT ON TABLE users IS 'mine'; GRANT SELECT ON users TO pg_monitor")
    before = contents(database)
    for _ in range(2):
        prepare_tables(database, EXTRACT)
        assert parts(database) == ["users_before_2024_03"]
        assert contents(database) == before
    assert fetch(
        database, "SELECT obj_description('users'::regclass), has_table_privilege('pg_monitor', 'users', 'SELECT')"
    ) == [("mine", True)]
    late = extract_files(users=15, month=1)
    assert take_snapshot(database, EXTRACT, write(tmp_path / "late", late), as_of=FEBRUARY).new_rows["users"] == 3
    take_snapshot(database, EXTRACT, write(tmp_path / "march", extract_files(month=2)), as_of=MARCH)
    assert parts(database) == ["users_2024_03", "users_before_2024_03"]
    with pytest.raises(psycopg.errors.RaiseException, match="is append-only"):
        fetch(database, "DELETE FROM users")


def test_a_restored_backup_has_every_month_and_takes_the_next(
    database: Settings, server: Settings, tmp_path: Path
) -> None:
    ((version,),) = fetch(database, "SELECT current_setting('server_version_num')::int / 10000")
    binaries, dump = find_binaries(version), tmp_path / "asof.dump"
    with fresh(server, tmp_path / "home") as restored:
        for words in (
            ["pg_dump", "-Fc", "-f", str(dump), database.conninfo()],
            ["pg_restore", "-d", restored.conninfo(), str(dump)],
        ):
            subprocess.run([str(binaries.folder / words[0]), *words[1:]], check=True)
        assert (parts(restored), contents(restored)) == (parts(database), contents(database))
        take_snapshot(restored, EXTRACT, write(tmp_path / "march", extract_files(month=2)), as_of=MARCH)
        assert parts(restored) == ["users_2024_01", "users_2024_02", "users_2024_03"]
        with pytest.raises(psycopg.errors.RaiseException, match="is append-only"):
            fetch(restored, "DELETE FROM months.users_2024_01")


def test_a_table_that_a_view_reads_is_left_and_named(database: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with psycopg.connect(database.conninfo()) as connection:
        unpartitioned(connection, ["users", "labels"])
        connection.execute("CREATE VIEW reading AS SELECT * FROM users")
    prepare_tables(database, EXTRACT)
    assert parts(database) == []
    assert "users is not partitioned by month: drop the view reading" in caplog.text
    assert fetch(database, "SELECT count(*) FROM pg_partitioned_table") == [(len(TABLES) - 1,)]


def test_a_table_that_is_read_is_partitioned_later(
    database: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.data.snapshots.months.adoption.LOCK_TIMEOUT", "50ms")
    with psycopg.connect(database.conninfo()) as connection:
        unpartitioned(connection, ["users"])
    with psycopg.connect(database.conninfo()) as reader:
        reader.execute("SELECT FROM users")
        prepare_tables(database, EXTRACT)
    assert "others read it" in caplog.text
    before = contents(database)
    prepare_tables(database, EXTRACT)
    assert (parts(database), contents(database)) == (["users_before_2024_03"], before)
