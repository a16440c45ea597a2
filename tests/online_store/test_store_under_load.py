"""The store with killed writers, server restarts, concurrent writers, changes and forks."""

import asyncio
import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psycopg
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, ValueType
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Int64, String

from asof.settings import Settings
from local.embedded_postgres import postgres
from online_store import pool
from online_store.errors import Unreachable
from online_store.pool import Address
from online_store.schema.layout import Layout
from online_store.writing import writes
from tests.kits.machine.kill import WARM
from tests.kits.store.values import entity, source
from tests.kits.store.wide import SCHEMA, at, disconnect, open_store, soon

USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
FEATURES = {"n": Int64, "text": String}


def view_of(folder: Path, name: str = "v", **features: Any) -> FeatureView:
    schema = [Field(name=feature, dtype=dtype) for feature, dtype in (features or FEATURES).items()]
    return FeatureView(name=name, entities=[USER], schema=schema, source=source(folder))


@pytest.fixture
def store(settings: Settings, tmp_path: Path) -> Iterator[FeatureStore]:
    store = open_store(settings, tmp_path, max_conn=5)
    store.apply([USER, view_of(tmp_path)])
    yield store
    store.provider.online_store.teardown(store.config, [], [])
    disconnect(store)


def rows(users: Any, number: int, hour: float) -> list[Any]:
    values = {"n": Value(int64_val=number), "text": Value(string_val=str(number))}
    return [(entity(user_id=str(user)), values, at(hour), None) for user in users]


def write(store: FeatureStore, view: FeatureView, data: list[Any]) -> None:
    store.provider.online_write_batch(store.config, view, data, None)


def read(store: FeatureStore, view: FeatureView, users: Any, features: list[str] | None = None) -> list[Any]:
    keys = [entity(user_id=str(user)) for user in users]
    return store.provider.online_store.online_read(store.config, view, keys, features)


def numbers(answers: list[Any]) -> list[int | None]:
    return [None if values is None else values["n"].int64_val for _, values in answers]


def connected(settings: Settings) -> int:
    """The number of other connections to the database, after closed ones have ended."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        (count,) = connection.execute(query).fetchone() or (0,)
    return int(count)


@contextlib.contextmanager
def setting(stop: threading.Event) -> Iterator[None]:
    """Ends the processes that wait, even after a failure."""
    try:
        yield
    finally:
        stop.set()


def stop_in_the_second_chunk(settings: Settings, folder: Path, pipe: Connection) -> None:
    """Run in a child: says on the pipe when it has stopped, and waits to be killed."""
    left, encoded = [15_000], writes.row_encoder

    def counted(layout: Layout) -> Any:
        encode = encoded(layout)

        def counting(row: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                pipe.send("stopped")
                threading.Event().wait()
            return encode(row)

        return counting

    writes.row_encoder, writes.BUFFER_BYTES = counted, 1000  # type: ignore[assignment]
    write(open_store(settings, folder), view_of(folder), rows(range(25_000), 2, 2))


def test_a_killed_writer_leaves_whole_chunks_and_a_second_run_completes_them(
    store: FeatureStore, settings: Settings, tmp_path: Path
) -> None:
    view = view_of(tmp_path)
    write(store, view, rows(range(0, 25_000, 5000), 1, 1))
    ours, theirs = WARM.Pipe(duplex=False)
    writer = WARM.Process(target=stop_in_the_second_chunk, args=(settings, tmp_path, theirs))
    writer.start()
    theirs.close()
    assert ours.recv() == "stopped"
    writer.kill()
    writer.join()
    soon(lambda: numbers(read(store, view, [10_000])) == [1])
    assert numbers(read(store, view, range(10_000))) == [2] * 10_000
    assert set(numbers(read(store, view, range(10_000, 25_000)))) == {None, 1}
    write(store, view, rows(range(25_000), 2, 2))
    assert numbers(read(store, view, range(25_000))) == [2] * 25_000
    with psycopg.connect(settings.conninfo()) as connection:
        left = connection.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'wide_staged%'").fetchone()
    assert left == (0,)


@pytest.mark.parametrize("order", [1, -1])
def test_concurrent_writers_of_the_same_rows_leave_the_newest_of_each(
    store: FeatureStore, tmp_path: Path, order: int
) -> None:
    view = view_of(tmp_path)
    batches = []
    for hour in range(1, 9):
        users = list(range(3000))
        random.Random(hour).shuffle(users)
        data = rows(users, hour, hour)
        if hour % 2:  # every other one writes only some of the features of half of the rows
            data = [
                (key, {"n": values["n"]} if place % 2 else values, *rest)
                for place, (key, values, *rest) in enumerate(data)
            ]
        batches.append(data)
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write, store, view, data) for data in batches[::order]]:
            done.result()
    answers = read(store, view, range(3000), ["n", "text"])
    assert numbers(answers) == [8] * 3000
    assert {values["text"].string_val for _, values in answers} == {"8"}
    assert {moment for moment, _ in answers} == {at(8)}


def test_a_change_of_features_under_load_causes_no_error_and_loses_no_row(
    store: FeatureStore, settings: Settings, tmp_path: Path
) -> None:
    """Readers and writers use the old view, as processes with a cached registry do."""
    view = view_of(tmp_path)
    write(store, view, rows(range(500), 0, 0))
    stop, counts = threading.Event(), {"reads": 0, "writes": 0}

    def reading() -> None:
        while not stop.is_set():
            answers = read(store, view, range(500), ["n"])
            assert None not in numbers(answers)
            counts["reads"] += 1

    def reading_at_once() -> None:
        async def main() -> None:
            while not stop.is_set():
                keys = [entity(user_id=str(user)) for user in range(50)]
                assert None not in numbers(
                    await store.provider.online_store.online_read_async(store.config, view, keys, ["n"])
                )
                counts["reads"] += 1
            await store.provider.online_store.close()

        asyncio.run(main())

    def writing() -> None:
        hour = 1
        while not stop.is_set():
            write(store, view, rows(range(500), hour, hour))
            counts["writes"] = hour
            hour += 1

    (tmp_path / "other").mkdir()
    changer = open_store(settings, tmp_path / "other")  # as in another process, which cannot notify this one
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(each) for each in (reading, reading_at_once, writing)]
        with setting(stop):
            for number in range(12):
                features = {"n": Int64, "other": (String, Int64)[number % 2], f"new_{number % 3}": String}
                changer.apply([USER, view_of(tmp_path, **features)])
                time.sleep(0.1)
        for each in running:
            each.result()
    disconnect(changer)
    assert min(counts.values()) > 3
    assert numbers(read(store, view, range(500), ["n"])) == [counts["writes"]] * 500


def test_two_concurrent_applies_succeed(settings: Settings, tmp_path: Path) -> None:
    stores = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        stores.append(open_store(settings, tmp_path / name, db_schema="applied at once"))
    views = [view_of(tmp_path, f"v{number}") for number in range(5)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda store: [store.apply([USER, *views]) for _ in range(3)], stores))
    write(stores[0], views[0], rows(["u"], 1, 1))
    assert numbers(read(stores[1], views[0], ["u"])) == [1]
    for each in stores:
        disconnect(each)


def test_a_reader_does_not_deadlock_with_the_drop_of_a_view(store: FeatureStore, tmp_path: Path) -> None:
    kept, dropped = view_of(tmp_path, "kept"), view_of(tmp_path, "dropped", m=Int64)
    stop = threading.Event()

    def reading() -> None:
        while not stop.is_set():
            asked = store.get_online_features(["kept:n", "v:text"], [{"user_id": "u"}])
            assert asked.to_dict()["n"] == [1]

    store.apply([USER, kept, dropped])
    write(store, kept, rows(["u"], 1, 1))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(reading)
        with setting(stop):
            for _ in range(5):
                store.provider.online_store.update(store.config, [dropped], [kept], [], [USER], True)
                store.provider.online_store.update(store.config, [], [dropped, kept], [], [USER], True)
        running.result()


def test_lost_connections_cause_no_error(store: FeatureStore, settings: Settings, tmp_path: Path) -> None:
    view = view_of(tmp_path)
    write(store, view, rows(range(10), 1, 1))

    def end_all() -> None:
        with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    async def main() -> None:
        keys = [entity(user_id=str(user)) for user in range(10)]
        for _ in range(3):
            found = await store.provider.online_store.online_read_async(store.config, view, keys, ["n"])
            assert numbers(found) == [1] * 10
            end_all()
        await store.provider.online_store.close()

    for hour in range(2, 5):
        with ThreadPoolExecutor(5) as pool:
            assert list(pool.map(lambda _: numbers(read(store, view, range(10))), range(20))) == [[hour - 1] * 10] * 20
        end_all()
        write(store, view, rows(range(10), hour, hour))
        end_all()
    write(store, view, rows(range(10), 1, 9))
    asyncio.run(main())


def test_errors_and_cancellations_leave_no_connection(store: FeatureStore, settings: Settings, tmp_path: Path) -> None:
    view = view_of(tmp_path)
    write(store, view, rows(range(2000), 1, 1))
    bad = [(entity(user_id="u"), {"n": Value(string_val="x")}, at(1), None)]
    for _ in range(20):
        with pytest.raises(ValueError, match="declared INT64"):
            write(store, view, bad)
    table = f'"{SCHEMA}"."shop.v"'

    async def main() -> None:
        online = store.provider.online_store
        keys = [entity(user_id=str(user)) for user in range(2000)]
        with psycopg.connect(settings.conninfo()) as blocker:
            blocker.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
            waiting = [asyncio.create_task(online.online_read_async(store.config, view, keys)) for _ in range(12)]
            await asyncio.sleep(0.5)
            assert connected(settings) <= 5 + 1
            for each in waiting:
                each.cancel()
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
        found = await asyncio.gather(*(online.online_read_async(store.config, view, keys) for _ in range(12)))
        assert {tuple(numbers(each)) for each in found} == {(1,) * 2000}
        await online.close()

    asyncio.run(main())
    soon(lambda: connected(settings) == 0)
    for _ in range(3):  # event loops in which the store is not closed
        asyncio.run(store.provider.online_store.online_read_async(store.config, view, [entity(user_id="1")]))
    read(store, view, [1])
    disconnect(store)


def test_a_host_that_does_not_respond_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CONNECT_TIMEOUT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Address((("host", "127.0.0.1"), ("port", silent.getsockname()[1])), max_connections=1)
        with pytest.raises(Unreachable, match="timeout"), pool.Pool(address).connection():
            pass


def test_parent_and_child_work_after_a_fork(store: FeatureStore, tmp_path: Path) -> None:
    view = view_of(tmp_path)
    write(store, view, rows(["u"], 1, 1))
    child = os.fork()
    if not child:
        status = 1
        try:
            status = int(numbers(read(store, view, ["u"])) != [1])
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    for _ in range(3):
        assert numbers(read(store, view, ["u"])) == [1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_restart_of_the_server_causes_no_error_of_readers_and_writers(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", postgres_url=None, postgres_port=_free_port(), mlflow_tracking_uri=None)
    try:
        started = postgres.ensure(settings)
        store = open_store(started, tmp_path, max_conn=4)
        view = view_of(tmp_path)
        store.apply([USER, view])
        write(store, view, rows(range(2000), 0, 0))
        stop, counts = threading.Event(), {"reads": 0, "writes": 0}

        def reading() -> None:
            while not stop.is_set():
                assert None not in numbers(read(store, view, range(200)))
                counts["reads"] += 1

        def writing() -> None:
            while not stop.is_set():
                write(store, view, rows(range(2000), counts["writes"] + 1, counts["writes"] + 1))
                counts["writes"] += 1

        with ThreadPoolExecutor(6) as pool:
            running = [pool.submit(each) for each in (reading, reading, reading, writing)]
            with setting(stop):
                for _ in range(2):
                    time.sleep(0.7)
                    postgres.stop(settings)
                    postgres.start(settings)
                before = dict(counts)
                soon(lambda: min(counts[each] - before[each] for each in counts) > 3)
            for each in running:
                each.result()
        assert numbers(read(store, view, range(2000))) == [counts["writes"]] * 2000
        soon(lambda: connected(started) <= 4)
        disconnect(store)
        soon(lambda: connected(started) == 0)
    finally:
        postgres.remove(settings)
