"""Reads all features of random users with one reader, and prints milliseconds as a line of JSON.

`python -m benchmarks.online_store.reading READER ENTITIES SECONDS`, with ASOF_POSTGRES_URL set to a database in which
the stock store and ours are filled. Feast's responses are not converted to dictionaries on the clock. The digest is of
the values of the same hundred users, and must be equal for all readers.
"""

import asyncio
import hashlib
import json
import os
import random
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import psycopg

from asof.settings import Settings, export
from benchmarks.environments.redis_store import ADDRESS, open_redis
from benchmarks.online_store.hmget import HmgetReader
from benchmarks.online_store.peers import OURS, PEERS, STOCK, open_peer

if TYPE_CHECKING:
    from feast import FeatureStore

WIDE_TABLE = "bench_wide.everything"
MIN_CALLS = 5


@dataclass(frozen=True)
class FeatureReader:
    """`read` is timed; `values` converts its response to a list of values for each feature."""

    read: Callable[[Sequence[str]], Awaitable[Any]]
    values: Callable[[Any], dict[str, list[Any]]]


async def measure(reader: FeatureReader, users: Sequence[str], *, entities: int, seconds: float) -> dict[str, Any]:
    """The median and the 99th percentile of calls for that many random users."""
    draw = random.Random(5)
    values = reader.values(await reader.read(sorted(users)[:100]))
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    samples = [draw.sample(users, entities) for _ in range(20)]
    for each in samples[:3]:
        await reader.read(each)
    times, until = list[float](), perf_counter() + seconds
    while len(times) < MIN_CALLS or perf_counter() < until:
        each = samples[len(times) % len(samples)]
        begun = perf_counter()
        await reader.read(each)
        times.append(perf_counter() - begun)
    p99 = sorted(times)[int(0.99 * len(times))] if len(times) >= 100 else None
    return {
        "p50_ms": round(statistics.median(times) * 1e3, 3),
        "p99_ms": p99 and round(p99 * 1e3, 3),
        "calls": len(times),
        "digest": digest,
    }


def feast_reader(
    open_store: Callable[[Settings], "FeatureStore"], *, awaited: bool
) -> Callable[[Settings], FeatureReader]:
    def opened(settings: Settings) -> FeatureReader:
        store = open_store(settings)
        names = [f"{view}:{feature}" for view, feature in all_features(store)]
        store.get_online_features(names, [{"user_id": "nobody"}])  # reads the registry

        async def read(users: Sequence[str]) -> Any:
            rows = {"user_id": list(users)}
            if awaited:
                return await store.get_online_features_async(names, rows)
            return store.get_online_features(names, rows)

        return FeatureReader(
            read, lambda response: {name: each for name, each in response.to_dict().items() if name != "user_id"}
        )

    return opened


def open_redis_peer(settings: Settings) -> "FeatureStore":
    return open_redis(settings, os.environ[ADDRESS])


def hmget(settings: Settings) -> FeatureReader:
    store = open_redis_peer(settings)
    reader = HmgetReader(store, all_features(store))
    return FeatureReader(reader.read, reader.values)


def arrays(settings: Settings) -> FeatureReader:
    from online_store.array_reader import ArrayReader
    from online_store.reading.direct_lookup import Source

    store = open_peer(settings, PEERS[OURS])
    pairs = all_features(store)
    reader = ArrayReader(Source(settings.conninfo(), PEERS[OURS].schema, store.project), pairs)

    async def read(users: Sequence[str]) -> Any:
        return await reader.read({"user_id": users})

    def values(response: Any) -> dict[str, list[Any]]:
        return {
            feature: [
                None if null or moment != moment else value
                for value, null, moment in zip(each.values.tolist(), each.nulls, each.moments, strict=True)
            ]
            for (_, feature), each in zip(pairs, response, strict=True)
        }

    return FeatureReader(read, values)


def wide_table(settings: Settings) -> FeatureReader:
    connection = psycopg.connect(settings.conninfo(), autocommit=True, prepare_threshold=0)
    query = f"SELECT * FROM {WIDE_TABLE} WHERE user_id = ANY(%s)".encode()

    async def read(users: Sequence[str]) -> Any:
        cursor = connection.execute(query, (list(users),), binary=True)
        cursor.fetchall()
        cursor.scroll(0, mode="absolute")
        return users, cursor

    def values(response: Any) -> dict[str, list[Any]]:
        users, cursor = response
        names = [column.name for column in cursor.description]
        by_user = {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}
        return {name: [by_user[user][name] for user in users] for name in names[1:]}

    return FeatureReader(read, values)


def all_features(store: "FeatureStore") -> list[tuple[str, str]]:
    """View and feature, for all features of all views."""
    views = sorted(store.list_feature_views(), key=lambda view: str(view.name))
    return [(view.name, field.name) for view in views for field in view.features]


HMGET = "redis-hmget"
OF_REDIS = ("redis", "redis-async", HMGET)
"""Those that need the environment `redis`, and the address of a server."""

READERS: dict[str, tuple[str, Callable[[Settings], FeatureReader]]] = {
    "stock": ("Feast's stock store", feast_reader(partial(open_peer, peer=PEERS[STOCK]), awaited=False)),
    "stock-async": ("Feast's stock store, async", feast_reader(partial(open_peer, peer=PEERS[STOCK]), awaited=True)),
    "ours": ("our store through Feast", feast_reader(partial(open_peer, peer=PEERS[OURS]), awaited=False)),
    "ours-async": ("our store through Feast, async", feast_reader(partial(open_peer, peer=PEERS[OURS]), awaited=True)),
    "arrays": ("our array reader", arrays),
    "redis": ("Feast's Redis store", feast_reader(open_redis_peer, awaited=False)),
    "redis-async": ("Feast's Redis store, async", feast_reader(open_redis_peer, awaited=True)),
    HMGET: ("bare: pipelined HMGET of Feast's Redis store, decoded", hmget),
    "wide-select": ("bare: one SELECT of one wide table", wide_table),
}


def make_wide_table(settings: Settings) -> None:
    """Joins all features of our store's tables in one table, for the bare SELECT; runs VACUUM ANALYZE."""
    store = open_peer(settings, PEERS[OURS])
    views = sorted(str(view.name) for view in store.list_feature_views())
    tables = " JOIN ".join(
        f'{PEERS[OURS].schema}."{store.project}.{view}" AS "{view}"' + (" USING (user_id)" if place else "")
        for place, view in enumerate(views)
    )
    features = ", ".join(f'"{view}"."{feature}"' for view, feature in all_features(store))
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        connection.execute(b"DROP SCHEMA IF EXISTS bench_wide CASCADE")
        connection.execute(b"CREATE SCHEMA bench_wide")
        connection.execute(f"CREATE TABLE {WIDE_TABLE} AS SELECT user_id, {features} FROM {tables}".encode())
        connection.execute(f"ALTER TABLE {WIDE_TABLE} ADD PRIMARY KEY (user_id)".encode())
        connection.execute(b"VACUUM ANALYZE")


def main(reader: str, entities: str, seconds: str) -> None:
    settings = Settings()
    export(settings)
    with psycopg.connect(settings.conninfo()) as connection:
        users = [user for (user,) in connection.execute(f"SELECT user_id FROM {WIDE_TABLE}".encode())]

    async def run() -> dict[str, Any]:
        return await measure(READERS[reader][1](settings), users, entities=int(entities), seconds=float(seconds))

    print(json.dumps(asyncio.run(run())))


if __name__ == "__main__":
    main(*sys.argv[1:])
