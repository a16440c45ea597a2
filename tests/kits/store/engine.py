"""Three online stores of the same features: Feast's stock store, and ours filled by Feast's engine and by ours."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from feast import FeatureStore, FeatureView, RepoConfig
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE
from psycopg.rows import dict_row

from asof.settings import Settings
from online_store.engine import WideComputeEngine
from online_store.schema.layout import read_layout
from online_store.store import WideOnlineStore

WIDE = "online_store.store.WideOnlineStore"
OURS = "online_store.engine.WideComputeEngine"
START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2026, 12, 31, tzinfo=UTC)
NO_MOMENT = Value(unix_timestamp_val=int(NULL_TIMESTAMP_INT_VALUE))
OFFLINE_OPTIONS = "public -c enable_nestloop=off -c TimeZone={} -c search_path=public"
"""Also a time zone: to our engine moments are UTC, whatever the server thinks. Feast's takes the local time of a
timestamptz for UTC in a process that has imported pandera, as ours have."""


def at(hours: float) -> datetime:
    """Hours after the start of 2026."""
    return START + timedelta(hours=hours)


@dataclass(frozen=True)
class Stores:
    """Each has its own registry and schema."""

    stock: FeatureStore
    by_feast: FeatureStore
    by_us: FeatureStore

    @property
    def every(self) -> tuple[FeatureStore, ...]:
        return self.stock, self.by_feast, self.by_us


@contextmanager
def open_stores(settings: Settings, folder: Path, *, latest: bool = True, zone: str = "UTC") -> Iterator[Stores]:
    """`latest`: Feast pulls only each entity's newest row. `zone`: the time zone of our engine's source."""
    with (
        open_store(settings, folder, "stock", online="postgres", engine="local", latest=latest) as stock,
        open_store(settings, folder, "by_feast", engine="local", latest=latest) as by_feast,
        open_store(settings, folder, "by_us", latest=latest, zone=zone) as by_us,
    ):
        yield Stores(stock, by_feast, by_us)


@contextmanager
def open_store(
    settings: Settings,
    folder: Path,
    name: str,
    *,
    online: str = WIDE,
    engine: str = OURS,
    latest: bool = True,
    rows: int | None = None,
    offline: str | None = None,
    zone: str = "UTC",
) -> Iterator[FeatureStore]:
    """`rows`: of one chunk; `offline`: another database with the sources."""
    url = settings.database()
    server = {
        "host": url.host,
        "port": url.port,
        "database": url.database,
        "user": url.username,
        "password": url.password,
        "sslmode": "disable",
    }
    config = RepoConfig(
        project="shop",
        provider="local",
        registry=str(folder / f"{name}.db"),
        offline_store={
            "type": "postgres",
            **server,
            "database": offline or url.database,
            "db_schema": OFFLINE_OPTIONS.format(zone),
        },
        online_store={"type": online, **server, "db_schema": name},
        batch_engine={"type": engine},
        materialization={"pull_latest_features": latest, "online_write_batch_size": rows},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    try:
        yield store
    finally:
        online = store._get_provider().online_store
        if isinstance(online, WideOnlineStore):
            online.disconnect()
        elif online._conn:
            online._conn.close()


def engine_of(store: FeatureStore) -> WideComputeEngine:
    return store._get_provider().batch_engine


def rows_of(connection: psycopg.Connection[Any], store: FeatureStore, view: str) -> list[dict[str, Any]]:
    """All columns of the view's table except the layout, in key order.

    Feast makes a moment of its own of a null moment, where another value of the column is none: our store keeps that as
    -infinity, and our engine keeps the null.
    """
    layout = read_layout(connection, store.project, view, schema=store.config.online_store.db_schema)
    keys = ", ".join(f'"{each.column}"' for each in layout.keys)
    columns = [f'"{each.column}"' for each in (*layout.keys, *layout.features) if each.pg_type != "timestamptz"]
    moments = [each.column for each in layout.features if each.pg_type == "timestamptz"]
    columns += [f'NULLIF("{each}", \'-infinity\') AS "{each}"' for each in moments]
    query = f"SELECT {', '.join([*columns, 'event_ts', 'created_ts', 'apart'])} FROM {layout.full_name} ORDER BY {keys}"
    return connection.cursor(row_factory=dict_row).execute(query.encode()).fetchall()


def versions_of(connection: psycopg.Connection[Any], store: FeatureStore, view: str) -> dict[Any, str]:
    """The transaction that wrote each row, by its first key."""
    layout = read_layout(connection, store.project, view, schema=store.config.online_store.db_schema)
    return dict(connection.execute(f'SELECT "{layout.keys[0].column}", xmin::text FROM {layout.full_name}').fetchall())


def answers(store: FeatureStore, view: FeatureView, entities: Sequence[dict[str, Any]]) -> Any:
    """Feast's response for these entities: values with types, statuses, timestamps."""
    names = [f"{view.name}:{field.name}" for field in view.features]
    proto = store.get_online_features(names, list(entities)).proto
    return {
        name: [
            (None if value == NO_MOMENT else value.WhichOneof("val"), _text(value), status, moment.ToJsonString())
            for value, status, moment in zip(column.values, column.statuses, column.event_timestamps, strict=True)
        ]
        for name, column in zip(proto.metadata.feature_names.val, proto.results, strict=True)
    }


def _text(value: Value) -> str:
    return "" if value == NO_MOMENT else str(value)
