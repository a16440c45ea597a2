"""One peer materialises StreamFlow's five views in a process of its own -> seconds and peak memory, as a line of JSON.

`python -m benchmarks.online_store.materialising PEER`, with ASOF_POSTGRES_URL set to a database of `write_world`'s.
Three runs: into empty tables; the same once more, when nothing is new; and one day on, when one user in a hundred has
new rows. Imports are not counted, but their memory is: it is what the process takes.
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
"""Two moments in, what is timed out."""

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
        _start_anew(connection, peer)
        spent: list[float] = []
        prepare = _feast(settings, peer, spent) if peer.online else open_bare(settings, peer, stack)
        told: dict[str, Any] = {"rows": VIEWS * _one(connection, USERS)}
        for title, since, until in RUNS:
            run = prepare(since, until)
            first = _one(connection, "SELECT pg_current_xact_id()::text::bigint")
            begun = perf_counter()
            run()
            told[title] = {"seconds": round(perf_counter() - begun, 3), "touched": _touched(connection, peer, first)}
            told.setdefault("engine_s", round(sum(spent), 3))
            told.setdefault("peak_mib", round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    print(json.dumps(told))


def _feast(settings: Settings, peer: Peer, spent: list[float]) -> Prepare:
    """`spent` gets the seconds in the engine, which may note itself what it has done: the others are Feast's, for its
    registry.
    """
    store = open_peer(settings, peer)
    make_tables(store)
    engine = store._get_provider().batch_engine
    materialise = engine.materialize

    def timed(*words: Any, **options: Any) -> Any:
        begun = perf_counter()
        try:
            return materialise(*words, **options)
        finally:
            spent.append(perf_counter() - begun)

    engine.materialize = timed

    def prepare(since: datetime, until: datetime) -> Callable[[], None]:
        def run() -> None:
            with quiet():
                store.materialize(since, until)

        return run

    return prepare


def _start_anew(connection: psycopg.Connection[Any], peer: Peer) -> None:
    schema = sql.Identifier(peer.schema)
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
    connection.execute("CHECKPOINT")  # what others have written is not to be paid for here


def _touched(connection: psycopg.Connection[Any], peer: Peer, since: int) -> int:
    """Rows of the peer's tables that were written by that transaction or later ones."""
    query = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = %s::regnamespace"
    tables = [table for (table,) in connection.execute(query, (peer.schema,)) if "wide_layouts" not in table]
    return sum(
        _one(connection, f"SELECT count(*) FROM {table} WHERE xmin::text::bigint >= {since}") for table in tables
    )


def _one(connection: psycopg.Connection[Any], query: str) -> int:
    (found,) = connection.execute(query.encode()).fetchone() or (0,)
    return int(found)


if __name__ == "__main__":
    main(*sys.argv[1:])
