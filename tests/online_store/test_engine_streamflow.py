"""StreamFlow's five views, with late rows and corrections, by both engines and in both stores."""

from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import Any

import psycopg

from asof.features.feature_store import quiet
from benchmarks.online_store.peers import FEAST_ENGINE, OURS, PEERS, STOCK, make_tables, open_peer
from online_store.store import WideOnlineStore
from tests.kits.data.history import History, moment
from tests.kits.store import engine as kit


def opened(history: History, name: str, stack: ExitStack) -> Any:
    """With tables in the peer's schema; closed with the stack."""
    store = open_peer(history.settings, PEERS[name])
    with psycopg.connect(history.settings.conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {PEERS[name].schema}".encode())
    make_tables(store)
    online = store._get_provider().online_store
    if isinstance(online, WideOnlineStore):
        stack.callback(online.disconnect)
    else:
        stack.enter_context(closing(online._conn))
    for engine in {store.registry.read_engine, store.registry.write_engine}:
        stack.callback(engine.dispose)
    return store


def test_streamflow_is_the_same_with_either_engine_and_store(history: History) -> None:
    """Materialised month by month, so that later runs meet existing rows."""
    with ExitStack() as stack:
        connection = stack.enter_context(psycopg.connect(history.settings.conninfo(), autocommit=True))
        stock, by_feast, ours = (opened(history, name, stack) for name in (STOCK, FEAST_ENGINE, OURS))
        beginning = datetime(2020, 1, 1, tzinfo=UTC)
        for month in (1, 3):
            for store in (stock, by_feast, ours):
                with quiet():
                    store.materialize(beginning, moment(history.plan.as_of(month)))
            for view in ours.list_feature_views():
                rows = kit.rows_of(connection, ours, view.name)
                assert rows == kit.rows_of(connection, by_feast, view.name)
                users = [{"user_id": row["user_id"]} for row in rows]
                assert len(users) >= 400
                assert kit.answers(ours, view, users) == kit.answers(stock, view, users)
