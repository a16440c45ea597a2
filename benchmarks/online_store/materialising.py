"""Materialises StreamFlow's five views with one peer, and prints seconds and peak memory as a line of JSON.

`python -m benchmarks.online_store.materialising PEER`, with ASOF_POSTGRES_URL set to a database filled by
`write_world`. Three runs: into empty tables; the same again, with nothing new; and one day later, when one user in a
hundred has new rows. The time of imports is not counted, but their memory is in the peak.
"""

import contextlib
import json
import resource
import sys
from collections.abc import Callable
from datetime import datetime
from time import perf_counter
from typing import Any

import psycopg
from psycopg import sql

from asof.features.feature_store import quiet
from asof.settings import Settings, export
from benchmarks.online_store.bare import open_bare
from benchmarks.online_store.peers import PEERS, Peer, make_tables, open_peer
from benchmarks.online_store.world import BEGINNING, NEWEST, NEXT

Prepare = Callable[[datetime, datetime], Callable[[], None]]
"""From the start and end of a run to the function that is timed."""

RUNS = (("whole", BEGINNING, NEWEST), ("again", BEGINNING, NEWEST), ("one in a hundred", NEXT, NEXT))
VIEWS = 5
USERS = f"SELECT count(DISTINCT user_id) FROM users WHERE as_of <= '{NEWEST.isoformat()}'"


def main(name: str) -> None:
    import feast.infra.offline_stores.contrib.postgres_offline_store.postgres
    import feast.infra.online_stores.postgres_online_store.postgres  # noqa: F401

    settings, peer = Settings(), PEERS[name]
    export(settings)
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(psycopg.connect(settings.conninfo(), autocommit=True))
        _recreate_schema(connection, peer)
        spent: list[float] = []
        prepare = _feast(settings, peer, spent) if peer.online else open_bare(settings, peer, stack)
        result: dict[str, Any] = {"rows": VIEWS * _one(connection, USERS)}
        for title, since, until in RUNS:
            run = prepare(since, until)
            first = _one(connection, "SELECT pg_current_xact_id()::text::bigint")
            begun = perf_counter()
            run()
            result[title] = {"seconds": round(perf_counter() - begun, 3), "touched": _touched(connection, peer, first)}
            result.setdefault("engine_s", round(sum(spent), 3))
            result.setdefault("peak_mib", round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    print(json.dumps(result))


def _feast(settings: Settings, peer: Peer, spent: list[float]) -> Prepare:
    """`spent` receives the seconds in the engine; the rest of a run is Feast's work in its registry."""
    store = open_peer(settings, peer)
    make_tables(store)
    engine = store._get_provider().batch_engine
    materialise = engine.materialize

    def timed(*args: Any, **options: Any) -> Any:
        begun = perf_counter()
        try:
            return materialise(*args, **options)
        finally:
            spent.append(perf_counter() - begun)

    engine.materialize = timed

    def prepare(since: datetime, until: datetime) -> Callable[[], None]:
        def run() -> None:
            with quiet():
                store.materialize(since, until)

        return run

    return prepare


def _recreate_schema(connection: psycopg.Connection[Any], peer: Peer) -> None:
    schema = sql.Identifier(peer.schema)
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
    connection.execute("CHECKPOINT")  # so that this run does not pay for earlier writes


def _touched(connection: psycopg.Connection[Any], peer: Peer, since: int) -> int:
    """Rows of the peer's tables written since that transaction."""
    query = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = %s::regnamespace"
    tables = [table for (table,) in connection.execute(query, (peer.schema,)) if "wide_layouts" not in table]
    return sum(
        _one(connection, f"SELECT count(*) FROM {table} WHERE xmin::text::bigint >= {since}") for table in tables
    )


def _one(connection: psycopg.Connection[Any], query: str) -> int:
    (value,) = connection.execute(query.encode()).fetchone() or (0,)
    return int(value)


if __name__ == "__main__":
    main(*sys.argv[1:])
