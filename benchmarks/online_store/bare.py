"""The peers in bare SQL: for each view, rows into a staging table and one upsert.

The tables have only the key, the features as in the source, and both timestamps. One peer fills the staging table by
Feast's own query; the other by COPY of the same rows, which are written to a file before the clock starts.
"""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import psycopg

from asof.settings import Settings
from benchmarks.online_store.peers import PEERS, PREPARED, STOCK, Peer, open_peer

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

Connection = psycopg.Connection[Any]
KEY, TIMES = "user_id", ("as_of", "created_at")
STAGED = "pg_temp.staged"
BLOCK = 1 << 18


@dataclass(frozen=True)
class Table:
    """A view's table."""

    name: str
    columns: tuple[str, ...]

    @property
    def listed(self) -> str:
        return ", ".join(self.columns)


def open_bare(
    settings: Settings, peer: Peer, stack: contextlib.ExitStack
) -> Callable[[datetime, datetime], Callable[[], None]]:
    """Creates the peer's tables; returns a function from the start and end of a run to the function that is timed."""
    store = open_peer(settings, PEERS[STOCK])
    connection = stack.enter_context(psycopg.connect(settings.conninfo(), autocommit=True))
    folder = Path(stack.enter_context(TemporaryDirectory()))
    connection.execute("SET enable_nestloop = off")  # as for Feast: see feature_store.yaml
    views = sorted(store.list_feature_views(), key=lambda view: str(view.name))
    tables = [_create_table(connection, peer, store, view) for view in views]

    def prepare(since: datetime, until: datetime) -> Callable[[], None]:
        queries = [_query(store, view, since, until) for view in views]
        if peer.name != PREPARED:
            return lambda: _load_all(_select, connection, zip(tables, queries, strict=True))
        files = [_export(connection, query, folder / str(number)) for number, query in enumerate(queries)]
        return lambda: _load_all(_copy, connection, zip(tables, files, strict=True))

    return prepare


def _load_all(load: Callable[..., None], connection: Connection, tables: Iterable[tuple[Table, Any]]) -> None:
    for table, rows in tables:
        load(connection, table, rows)


def _create_table(connection: Connection, peer: Peer, store: "FeatureStore", view: "FeatureView") -> Table:
    table = Table(f"{peer.schema}.{view.name}", (KEY, *(each.name for each in view.features), *TIMES))
    query = _query(store, view, datetime(2020, 1, 1), datetime(2020, 1, 1))  # noqa: DTZ001 - of no rows
    connection.execute(f"CREATE TABLE {table.name} AS {query} WITH NO DATA".encode())
    connection.execute(f"ALTER TABLE {table.name} ADD PRIMARY KEY ({KEY})".encode())
    return table


def _query(store: "FeatureStore", view: "FeatureView", since: datetime, until: datetime) -> str:
    job = store._get_provider().offline_store.pull_latest_from_table_or_query(
        store.config,
        view.batch_source,
        join_key_columns=[KEY],
        feature_name_columns=[each.name for each in view.features],
        timestamp_field=TIMES[0],
        created_timestamp_column=TIMES[1],
        start_date=since,
        end_date=until,
    )
    return str(job.to_sql())


def _export(connection: Connection, query: str, file: Path) -> Path:
    with (
        file.open("wb") as into,
        connection.cursor() as cursor,
        cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT binary)".encode()) as copy,
    ):
        into.writelines(bytes(each) for each in copy)
    return file


def _copy(connection: Connection, table: Table, file: Path) -> None:
    with connection.transaction():
        _stage(connection, f"SELECT {table.listed} FROM {table.name} WITH NO DATA")
        copy_in = f"COPY {STAGED} FROM STDIN (FORMAT binary)".encode()
        with file.open("rb") as rows, connection.cursor() as cursor, cursor.copy(copy_in) as copy:
            while block := rows.read(BLOCK):
                copy.write(block)
        _upsert(connection, table)


def _select(connection: Connection, table: Table, query: str) -> None:
    with connection.transaction():
        _stage(connection, query)
        _upsert(connection, table)


def _stage(connection: Connection, query: str) -> None:
    connection.execute(f"CREATE TEMP TABLE staged ON COMMIT DROP AS {query}".encode())


def _upsert(connection: Connection, table: Table) -> None:
    changed = ", ".join(f"{each} = excluded.{each}" for each in table.columns if each != KEY)
    connection.execute(
        f"INSERT INTO {table.name} ({table.listed}) SELECT {table.listed} FROM {STAGED}"
        f" ON CONFLICT ({KEY}) DO UPDATE SET {changed}".encode()
    )
