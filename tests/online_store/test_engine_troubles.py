"""Our compute engine with kills, concurrent runs, failing sources and changing tables."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from feast import Entity, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Bool, Float64, Int64

from asof.settings import Settings
from online_store.relaying import relay
from online_store.relaying.relay import chunks
from tests.kits.machine.kill import WARM
from tests.kits.store import engine as kit
from tests.kits.store.engine import END, START, at

Connection = psycopg.Connection[Any]
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
ROWS = 50
"""Of a chunk; the table has six chunks."""


def view_of(feature: str = "n", dtype: Any = Int64, **more: Any) -> FeatureView:
    fields = {feature: dtype, **more}
    return FeatureView(
        name="facts",
        entities=[USER],
        schema=[Field(name=name, dtype=each) for name, each in fields.items()],
        source=PostgreSQLSource(name="s", table="source", timestamp_field="as_of", created_timestamp_column="created"),
    )


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """A source of 300 users."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute("DROP SCHEMA IF EXISTS by_us CASCADE")
        connection.execute("DROP TABLE IF EXISTS source")
        connection.execute(
            "CREATE TABLE source AS SELECT to_char(n, 'FM0000') AS user_id, timestamptz '2026-01-02' AS as_of,"
            " timestamptz '2026-01-02' AS created, n::bigint AS n, n::numeric AS x, true AS paid"
            " FROM generate_series(0, 299) AS n"
        )
        yield connection


def counted(connection: Connection, store: Any) -> int:
    return len(kit.rows_of(connection, store, "facts"))


def die_in_the_third_chunk(settings: Settings, folder: Path) -> None:
    """Run in a child: killed after the upsert of the chunk's rows, before the commit."""
    seen, real = [], relay.upsert_staged

    def upsert(*args: Any) -> int:
        seen.append(args)
        changed = real(*args)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return changed

    relay.upsert_staged = upsert
    with kit.open_store(settings, folder, "by_us", rows=ROWS) as store:
        store.materialize(START, END)


def test_a_killed_writer_leaves_nothing_of_its_chunk(
    connection: Connection, settings: Settings, tmp_path: Path
) -> None:
    with kit.open_store(settings, tmp_path, "by_us", rows=ROWS) as store:
        store.apply([USER, view_of()])
        child = WARM.Process(target=die_in_the_third_chunk, args=(settings, tmp_path))
        child.start()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        assert counted(connection, store) == 2 * ROWS
        store.materialize(START, END)
        assert [row["n"] for row in kit.rows_of(connection, store, "facts")] == list(range(300))


def test_if_the_source_fails_midway_the_chunks_before_stay(
    connection: Connection, settings: Settings, tmp_path: Path
) -> None:
    connection.execute("UPDATE source SET x = 1e400 WHERE n = 270")  # out of the range of double
    with kit.open_store(settings, tmp_path, "by_us", rows=ROWS) as store:
        store.apply([USER, view_of("x", Float64)])
        with pytest.raises(psycopg.errors.NumericValueOutOfRange, match="out of range"):
            store.materialize(START, END)
        assert counted(connection, store) == 5 * ROWS
        connection.execute("UPDATE source SET x = 0 WHERE n = 270")
        store.materialize(START, END)
        assert counted(connection, store) == 300
        assert not connection.execute(
            "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
            " AND pid <> pg_backend_pid()"
        ).fetchall()


def test_a_row_without_a_key_is_an_error_that_names_the_key(
    connection: Connection, settings: Settings, tmp_path: Path
) -> None:
    """In PostgreSQL nulls are last: all chunks but the last are written."""
    connection.execute("UPDATE source SET user_id = NULL WHERE n = 120")
    with kit.open_store(settings, tmp_path, "by_us", rows=ROWS) as store:
        store.apply([USER, view_of()])
        with pytest.raises(psycopg.errors.NotNullViolation, match="user_id"):
            store.materialize(START, END)
        assert counted(connection, store) == 5 * ROWS


def test_only_changed_rows_are_touched(connection: Connection, settings: Settings, tmp_path: Path) -> None:
    with kit.open_store(settings, tmp_path, "by_us", rows=ROWS) as store:
        store.apply([USER, view_of()])
        store.materialize(START, END)
        first = kit.versions_of(connection, store, "facts")
        connection.execute("UPDATE source SET n = -n, created = created + interval '1 hour' WHERE n % 100 = 7")
        store.materialize(START, END)
        second = kit.versions_of(connection, store, "facts")
    assert {user for user in first if first[user] != second[user]} == {"0007", "0107", "0207"}


def test_an_older_run_restores_nothing(connection: Connection, settings: Settings, tmp_path: Path) -> None:
    connection.execute("INSERT INTO source SELECT user_id, as_of + interval '1 day', created, n + 1000 FROM source")
    with kit.open_store(settings, tmp_path, "by_us", rows=ROWS) as store:
        store.apply([USER, view_of()])
        store.materialize(START, END)
        store.materialize(START, at(24))
        assert [row["n"] for row in kit.rows_of(connection, store, "facts")] == list(range(1000, 1300))


def test_two_concurrent_runs_end_with_the_newest_rows(
    connection: Connection, settings: Settings, tmp_path: Path
) -> None:
    """With different chunks, some of older rows only: no deadlock."""
    connection.execute("INSERT INTO source SELECT user_id, as_of + interval '1 day', created, n + 1000 FROM source")
    failed: list[BaseException] = []

    def run(store: Any, ends: Sequence[datetime]) -> None:
        try:
            for end in ends:
                _materialise(store, end)
        except BaseException as error:
            failed.append(error)

    with (
        kit.open_store(settings, tmp_path, "by_us", rows=7) as one,
        kit.open_store(settings, tmp_path, "by_us", rows=30) as other,
    ):
        one.apply([USER, view_of()])
        other.refresh_registry()
        for _ in range(5):
            connection.execute('TRUNCATE by_us."shop.facts"')
            threads = [
                threading.Thread(target=run, args=(one, [at(24), END])),
                threading.Thread(target=run, args=(other, [END, at(24)])),
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not failed
            assert [row["n"] for row in kit.rows_of(connection, one, "facts")] == list(range(1000, 1300))


def _materialise(store: Any, end: datetime) -> None:
    """As `store.materialize`, without the registry, a file that two processes cannot write at the same time."""
    store._get_provider().materialize_single_feature_view(
        store.config,
        store.get_feature_view("facts"),
        START,
        end,
        store.registry,
        store.project,
        lambda _: None,
    )


def test_a_view_whose_table_changes_meanwhile_is_restarted(
    connection: Connection, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process drops and adds a feature before the third chunk."""
    real, seen = relay.begin_chunk, []

    with (
        kit.open_store(settings, tmp_path, "by_us", rows=ROWS) as store,
        kit.open_store(settings, tmp_path, "by_us") as other,
    ):

        def begin(target: Any, layout: Any) -> None:
            seen.append(layout.version)
            if len(seen) == 3:
                other.apply([USER, view_of("x", Float64, paid=Bool)])
                other.apply([USER, view_of("n", Int64, paid=Bool)])
            real(target, layout)

        monkeypatch.setattr(relay, "begin_chunk", begin)
        store.apply([USER, view_of("n", Int64, paid=Bool)])
        store.materialize(START, END)
        assert [row["n"] for row in kit.rows_of(connection, store, "facts")] == list(range(300))
        assert len(set(seen)) == 2


def test_progress_is_reported_by_chunk(connection: Connection, settings: Settings, tmp_path: Path) -> None:
    updates: list[int] = []

    class Bar:
        def update(self, rows: int) -> None:
            updates.append(rows)

        def close(self) -> None:
            updates.append(-1)

    with kit.open_store(settings, tmp_path, "by_us", rows=80) as store:
        store.apply([USER, view_of()])
        provider = store._get_provider()
        provider.materialize_single_feature_view(
            store.config, store.get_feature_view("facts"), START, END, store.registry, store.project, lambda _: Bar()
        )
    assert updates == [80, 80, 80, 60, -1]


def test_chunks_end_at_rows_and_are_bounded_by_rows_and_bytes(connection: Connection) -> None:
    """However long the source is, at most one chunk is collected."""
    few = list(chunks(connection, "SELECT n FROM generate_series(1, 95) AS n", rows=30))
    assert [each.rows for each in few] == [30, 30, 30, 5]
    long = "SELECT repeat('x', 300000) FROM generate_series(1, 100)"
    gathered = list(chunks(connection, long))
    assert sum(each.rows for each in gathered) == 100
    assert max(sum(map(len, each.blocks)) for each in gathered) <= relay.CHUNK_BYTES + relay.BATCH_ROWS * 300_100
    assert not list(chunks(connection, "SELECT 1 WHERE false"))


def test_closing_the_generator_cancels_the_source(connection: Connection, settings: Settings) -> None:
    """The rest of a long query is not waited for. (Otherwise this test takes five minutes.)"""
    slow = "SELECT repeat('x', 100000), CASE WHEN n > 15 THEN pg_sleep(300)::text END FROM generate_series(1, 16) AS n"
    with closing(psycopg.connect(settings.conninfo(), autocommit=True)) as source:
        ahead = relay._prefetched(source, chunks(source, slow, rows=10))
        assert next(ahead).rows == 10
        ahead.close()
        query = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"
        assert connection.execute(query, (source.info.backend_pid,)).fetchone() != ("PgSleep",)


def test_an_error_that_is_referenced_keeps_no_thread_and_no_query(
    connection: Connection, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise psycopg.OperationalError("the disk is full")

    monkeypatch.setattr(relay, "upsert_staged", fail)
    with kit.open_store(settings, tmp_path, "by_us", rows=7) as store:
        store.apply([USER, view_of()])
        with pytest.raises(psycopg.OperationalError, match="disk") as kept:
            store.materialize(START, END)
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("relay")]
        assert counted(connection, store) == 0
    assert kept.value.__traceback__
