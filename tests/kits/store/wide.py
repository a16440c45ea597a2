"""Rows for our store's tables, by SQL and by Feast; Feast projects with our store and with the stock store."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from feast import FeatureStore, RepoConfig

from asof.settings import Settings
from online_store.schema.layout import Layout
from online_store.schema.tables import ViewSchema, apply_view, create_catalogue
from online_store.store import WideOnlineStore
from online_store.writing.upsert import begin_chunk, copy_statement, upsert_staged

SCHEMA = "wide %s schema"
PLAIN = "both_stores"
"""A schema for the stock store, which uses the name unquoted in a search path."""
WIDE = "online_store.store.WideOnlineStore"
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(hours: float) -> datetime:
    """Hours after the start of 2026."""
    return START + timedelta(hours=hours)


def settle(connection: psycopg.Connection[Any], view: str, **features: str) -> Layout:
    """Creates or changes a view with the text key `user_id` and these features with their Feast types."""
    create_catalogue(connection, SCHEMA)
    return apply_view(connection, SCHEMA, ViewSchema("shop", view, {"user_id": "STRING"}, features))


def put(
    connection: psycopg.Connection[Any], layout: Layout, rows: Sequence[Sequence[Any]], *, partial: bool = False
) -> int:
    """Upserts a chunk of rows as in the staging table; returns how many were inserted or updated."""
    columns = [*(each.pg_type for each in (*layout.keys, *layout.features)), "timestamptz", "timestamptz"]
    with connection.transaction():
        begin_chunk(connection, layout, partial=partial)
        with connection.cursor().copy(copy_statement(layout, partial=partial)) as copy:
            copy.set_types([*columns, "jsonb"] if partial else columns)
            for row in rows:
                copy.write_row(row)
        return upsert_staged(connection, layout, partial=partial)


def rows_of(connection: psycopg.Connection[Any], layout: Layout) -> dict[str, Mapping[str, Any]]:
    """All rows by key."""
    cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
    rows = cursor.execute(f"SELECT *, xmin::text FROM {layout.full_name}".encode()).fetchall()
    return {row["user_id"]: row for row in rows}


def open_store(settings: Settings, folder: Path, **online_store: Any) -> FeatureStore:
    """A Feast project with a registry in the folder; `online_store` replaces fields of its configuration."""
    url = settings.database()
    where = {
        "host": url.host,
        "port": url.port,
        "database": url.database,
        "user": url.username,
        "password": url.password,
        "sslmode": "disable",
    }
    project = online_store.pop("project", "shop")
    registry = {"path": str(folder / "registry.db"), "cache_ttl_seconds": 0, **online_store.pop("registry", {})}
    config = RepoConfig(
        project=project,
        provider="local",
        registry=registry,
        online_store={"type": WIDE, "db_schema": SCHEMA, **where, **online_store},
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    return FeatureStore(config=config)


def both_stores(settings: Settings, folder: Path) -> tuple[FeatureStore, FeatureStore]:
    """Our store and Feast's stock store, with the same project, in one schema."""
    for name in ("wide", "stock"):
        (folder / name).mkdir()
    stock = open_store(settings, folder / "stock", type="postgres", db_schema=PLAIN)
    return open_store(settings, folder / "wide", db_schema=PLAIN), stock


def disconnect(store: FeatureStore) -> None:
    """Closes the connections of the online store."""
    online = store.provider.online_store
    if isinstance(online, WideOnlineStore):
        online.disconnect()
    elif online._conn is not None:
        online._conn.close()


def soon(holds: Callable[[], bool]) -> None:
    """Waits until the condition holds, for at most a minute."""
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)
