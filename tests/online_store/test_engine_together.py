"""Our compute engine with several views in one call, and with both stores in one database."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from feast import Entity, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Float64

import online_store.engine as engine_module
from asof.settings import Settings
from online_store.relaying import same_server
from tests.kits.machine.kill import WARM
from tests.kits.store import engine as kit
from tests.kits.store.engine import END, START

Connection = psycopg.Connection[Any]
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
VIEWS = ("first", "second", "third")
HELD = 7706
"""Of an advisory lock."""


def view_of(name: str, source: str = "") -> FeatureView:
    """`source`: a query instead of the table of the view's name."""
    where: dict[str, Any] = {"query": source} if source else {"table": f"source_{name}"}
    return FeatureView(
        name=name,
        entities=[USER],
        schema=[Field(name="x", dtype=Float64)],
        source=PostgreSQLSource(
            name=f"of_{name}", timestamp_field="as_of", created_timestamp_column="created", **where
        ),
    )


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    """Three sources of 300 users each."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute("DROP SCHEMA IF EXISTS by_us CASCADE")
        for name in VIEWS:
            connection.execute(f"DROP TABLE IF EXISTS source_{name}".encode())
            connection.execute(
                f"CREATE TABLE source_{name} AS SELECT to_char(n, 'FM0000') AS user_id, timestamptz '2026-01-02'"
                " AS as_of, timestamptz '2026-01-02' AS created, n::numeric AS x"
                " FROM generate_series(0, 299) AS n".encode()
            )
        yield connection


@pytest.fixture
def store(connection: Connection, settings: Settings, tmp_path: Path) -> Iterator[Any]:
    with kit.open_store(settings, tmp_path, "by_us") as store:
        store.apply([USER, *map(view_of, VIEWS)])
        yield store


def counted(connection: Connection, store: Any) -> list[int]:
    return [len(kit.rows_of(connection, store, name)) for name in VIEWS]


def noted(store: Any) -> list[int]:
    return [len(store.get_feature_view(name).materialization_intervals) for name in VIEWS]


def forbidden(*_: Any, **__: Any) -> None:
    raise AssertionError("not this way")


def test_views_of_one_call_are_materialised_concurrently(
    connection: Connection, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    met, real = threading.Barrier(2), engine_module.read_layout

    def read(*args: Any, **options: Any) -> Any:
        if args[2] != "third":
            met.wait(timeout=60)
        return real(*args, **options)

    monkeypatch.setattr(engine_module, "read_layout", read)
    store.materialize(START, END)
    assert counted(connection, store) == [300, 300, 300]
    assert noted(store) == [1, 1, 1]


def test_a_failing_view_does_not_affect_others_and_its_error_names_it(connection: Connection, store: Any) -> None:
    connection.execute("UPDATE source_second SET x = 1e400 WHERE user_id = '0270'")  # out of the range of double
    with pytest.raises(psycopg.errors.NumericValueOutOfRange) as caught:
        store.materialize(START, END)
    assert any("second" in note for note in caught.value.__notes__)
    assert counted(connection, store) == [300, 0, 300]
    assert noted(store) == [1, 0, 1]
    connection.execute("UPDATE source_second SET x = 0 WHERE user_id = '0270'")
    store.materialize(START, END)
    assert counted(connection, store) == [300, 300, 300]


def test_an_error_of_feasts_registry_is_the_views_error(
    connection: Connection, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store.registry.apply_materialization

    def refuse(view: Any, *args: Any, **options: Any) -> None:
        if view.name == "first":
            raise ConnectionError("The registry has gone.")
        real(view, *args, **options)

    monkeypatch.setattr(store.registry, "apply_materialization", refuse)
    with pytest.raises(ConnectionError) as caught:
        store.materialize(START, END)
    assert any("first" in note for note in caught.value.__notes__)
    assert noted(store) == [0, 1, 1]


def test_few_rows_of_one_database_do_not_leave_its_server(
    connection: Connection, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "relay", forbidden)
    store.materialize(START, END)
    before = kit.versions_of(connection, store, "first")
    connection.execute("UPDATE source_first SET x = -x, created = created + interval '1 hour' WHERE x = 7")
    store.materialize(START, END)
    after = kit.versions_of(connection, store, "first")
    assert {user for user in before if before[user] != after[user]} == {"0007"}
    connection.execute("UPDATE source_first SET x = 1000, as_of = as_of - interval '1 hour' WHERE x = 8")
    store.materialize(START, END)
    assert kit.versions_of(connection, store, "first") == after, "nothing older replaces it"


def test_more_rows_than_a_chunk_are_chunked_whatever_the_planner_estimated(
    connection: Connection, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without statistics it expects 200 distinct users."""
    chunk_rows: list[int] = []
    real = engine_module.relay

    def watched(*args: Any, **options: Any) -> Iterator[tuple[int, int]]:
        for chunk in real(*args, **options):
            chunk_rows.append(chunk[0])
            yield chunk

    monkeypatch.setattr(engine_module, "relay", watched)
    monkeypatch.setattr(engine_module, "is_few", lambda *_: True)
    with kit.open_store(settings, tmp_path, "by_us", rows=140) as store:
        store.apply([USER, *map(view_of, VIEWS)])
        store.materialize(START, END, feature_views=["first"])
        assert chunk_rows == [140, 140, 20]
        assert counted(connection, store) == [300, 0, 0]


def test_the_planners_estimate_decides(connection: Connection, settings: Settings) -> None:
    connection.execute("ANALYZE source_first")
    transfer = same_server.Transfer("SELECT * FROM source_first", "SELECT DISTINCT user_id FROM source_first")
    assert same_server.is_few(connection, transfer, 300)
    assert not same_server.is_few(connection, transfer, 299)
    connection.execute(
        "INSERT INTO source_first SELECT user_id, as_of - interval '1 day', created, x FROM source_first"
    )
    connection.execute("ANALYZE source_first")
    assert same_server.is_few(connection, transfer, 300), "two rows of each user, and 300 users"


def test_no_table_is_locked_while_the_source_is_read(connection: Connection, store: Any) -> None:
    """So that `feast apply` does not wait for the source, nor others behind it."""
    waits = f"SELECT s.*, pg_advisory_xact_lock_shared({HELD})::text AS held FROM source_first AS s"
    store.apply([view_of("first", waits)])
    connection.execute("SELECT pg_advisory_lock(%s)", (HELD,))
    failed: list[BaseException] = []

    def run() -> None:
        try:
            store.materialize(START, END, feature_views=["first"])
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_for(connection, "wait_event_type = 'Lock' AND wait_event = 'advisory'")
        with connection.transaction():
            connection.execute('LOCK TABLE by_us."shop.first" IN ACCESS EXCLUSIVE MODE NOWAIT')
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (HELD,))
        thread.join()
    assert not failed
    assert counted(connection, store) == [300, 0, 0]


def wait_for(connection: Connection, condition: str) -> None:
    query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {condition}"
    until = time.monotonic() + 60
    while not (connection.execute(query.encode()).fetchone() or (0,))[0]:
        assert time.monotonic() < until, condition
        time.sleep(0.02)


def die_in_the_second_view(settings: Settings, folder: Path) -> None:
    """Run in a child: killed after the upsert of the view's rows, before the commit."""
    real = same_server.upsert_staged

    def upsert(connection: Any, layout: Any) -> int:
        changed = real(connection, layout)
        if layout.view == "second":
            os.kill(os.getpid(), signal.SIGKILL)
        return changed

    same_server.upsert_staged = upsert
    with kit.open_store(settings, folder, "by_us") as store:
        store._get_provider().batch_engine.repo_config.batch_engine.at_once = 1
        store.materialize(START, END)


def test_a_killed_writer_leaves_nothing_of_its_view(
    connection: Connection, store: Any, settings: Settings, tmp_path: Path
) -> None:
    child = WARM.Process(target=die_in_the_second_view, args=(settings, tmp_path))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert counted(connection, store) == [300, 0, 0]
    store.refresh_registry()
    store.materialize(START, END)
    assert counted(connection, store) == [300, 300, 300]


def test_an_interrupt_does_not_wait_for_the_sources(connection: Connection, store: Any) -> None:
    """(Otherwise this test takes five minutes.)"""
    store.apply([view_of(name, f"SELECT *, pg_sleep(300)::text AS s FROM source_{name}") for name in VIEWS])

    def interrupt() -> None:
        wait_for(connection, "wait_event = 'PgSleep'")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        store.materialize(START, END)
    thread.join()
    assert time.monotonic() - begun < 200
    assert not [each.name for each in threading.enumerate() if each.name.startswith(("materialise", "relay"))]
    assert counted(connection, store) == [0, 0, 0]
