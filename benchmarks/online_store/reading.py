"""One reader asks for all features of random users, in a process of its own -> milliseconds, as a line of JSON.

`python -m benchmarks.online_store.reading READER USERS ENTITIES SECONDS`, with ASOF_POSTGRES_URL set to a database in
which the stock store and ours are filled. Feast's answers are not turned into dictionaries or frames on the clock. The
digest is of what a reader says of the same hundred users: all readers must say the same.
"""

import asyncio
import hashlib
import json
import random
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import psycopg

from asof.settings import Settings, export
from benchmarks.online_store.peers import OURS, PEERS, STOCK, open_peer

if TYPE_CHECKING:
    from feast import FeatureStore

WIDE_TABLE = "bench_wide.everything"
LEAST = 5
"""Calls that are timed, however long they take."""


@dataclass(frozen=True)
class Asker:
    """`ask` takes users and gives an answer; `told` makes of that a list of values for each feature."""

    ask: Callable[[Sequence[str]], Awaitable[Any]]
    told: Callable[[Any], dict[str, list[Any]]]


async def measure(asker: Asker, users: Sequence[str], *, entities: int, seconds: float) -> dict[str, Any]:
    """The median and the 99th percentile of calls for that many random users."""
    draw = random.Random(5)
    answer = asker.told(await asker.ask(sorted(users)[:100]))
    digest = hashlib.sha256(json.dumps(answer, sort_keys=True).encode()).hexdigest()
    asked = [draw.sample(users, entities) for _ in range(20)]
    for each in asked[:3]:
        await asker.ask(each)
    times, until = list[float](), perf_counter() + seconds
    while len(times) < LEAST or perf_counter() < until:
        each = asked[len(times) % len(asked)]
        begun = perf_counter()
        await asker.ask(each)
        times.append(perf_counter() - begun)
    p99 = sorted(times)[int(0.99 * len(times))] if len(times) >= 100 else None
    return {
        "p50_ms": round(statistics.median(times) * 1e3, 3),
        "p99_ms": p99 and round(p99 * 1e3, 3),
        "calls": len(times),
        "digest": digest,
    }


def feast_asker(peer: str, *, awaited: bool) -> Callable[[Settings], Asker]:
    def opened(settings: Settings) -> Asker:
        store = open_peer(settings, PEERS[peer])
        names = [f"{view}:{feature}" for view, feature in wanted(store)]
        store.get_online_features(names, [{"user_id": "nobody"}])  # reads the registry

        async def ask(users: Sequence[str]) -> Any:
            rows = {"user_id": list(users)}
            if awaited:
                return await store.get_online_features_async(names, rows)
            return store.get_online_features(names, rows)

        return Asker(ask, lambda answer: {name: told for name, told in answer.to_dict().items() if name != "user_id"})

    return opened


def array_asker(settings: Settings) -> Asker:
    from online_store.array_reader import ArrayReader
    from online_store.reading.direct_lookup import Source

    store = open_peer(settings, PEERS[OURS])
    pairs = wanted(store)
    reader = ArrayReader(Source(settings.conninfo(), PEERS[OURS].schema, store.project), pairs)

    async def ask(users: Sequence[str]) -> Any:
        return await reader.read({"user_id": users})

    def told(answer: Any) -> dict[str, list[Any]]:
        return {
            feature: [
                None if null or moment != moment else value
                for value, null, moment in zip(each.values.tolist(), each.nulls, each.moments, strict=True)
            ]
            for (_, feature), each in zip(pairs, answer, strict=True)
        }

    return Asker(ask, told)


def table_asker(settings: Settings) -> Asker:
    connection = psycopg.connect(settings.conninfo(), autocommit=True, prepare_threshold=0)
    query = f"SELECT * FROM {WIDE_TABLE} WHERE user_id = ANY(%s)".encode()

    async def ask(users: Sequence[str]) -> Any:
        return users, connection.execute(query, (list(users),), binary=True)

    def told(answer: Any) -> dict[str, list[Any]]:
        users, cursor = answer
        names = [column.name for column in cursor.description]
        by_user = {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}
        return {name: [by_user[user][name] for user in users] for name in names[1:]}

    async def ask_for_all(users: Sequence[str]) -> Any:
        users, cursor = await ask(users)
        cursor.fetchall()
        cursor.scroll(0, mode="absolute")
        return users, cursor

    return Asker(ask_for_all, told)


def wanted(store: "FeatureStore") -> list[tuple[str, str]]:
    """Every feature of every view."""
    views = sorted(store.list_feature_views(), key=lambda view: str(view.name))
    return [(view.name, field.name) for view in views for field in view.features]


READERS: dict[str, tuple[str, Callable[[Settings], Asker]]] = {
    "stock": ("Feast's stock store", feast_asker(STOCK, awaited=False)),
    "stock-async": ("Feast's stock store, async", feast_asker(STOCK, awaited=True)),
    "ours": ("our store through Feast", feast_asker(OURS, awaited=False)),
    "ours-async": ("our store through Feast, async", feast_asker(OURS, awaited=True)),
    "arrays": ("our array reader", array_asker),
    "wide-select": ("bare: one SELECT of one wide table", table_asker),
}


def make_wide_table(settings: Settings) -> None:
    """All features of our store's tables in one, for the bare SELECT; and statistics for everybody."""
    store = open_peer(settings, PEERS[OURS])
    views = sorted(str(view.name) for view in store.list_feature_views())
    tables = " JOIN ".join(
        f'{PEERS[OURS].schema}."{store.project}.{view}" AS "{view}"' + (" USING (user_id)" if place else "")
        for place, view in enumerate(views)
    )
    features = ", ".join(f'"{view}"."{feature}"' for view, feature in wanted(store))
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
        asker = READERS[reader][1](settings)
        return await measure(asker, users, entities=int(entities), seconds=float(seconds))

    print(json.dumps(asyncio.run(run())))


if __name__ == "__main__":
    main(*sys.argv[1:])
