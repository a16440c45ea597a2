"""Copies in the online store: in the tables of our store and in those of Feast's own, whichever is in use now."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg import sql

from asof.errors import FeatureContractMismatch
from asof.features.feast_registry import read_all
from asof.features.feature_store import configuration
from asof.use_cases import raw_tables
from online_store.schema.layout import read_layout
from online_store.schema.tables import count_keys, erase_keys, list_views
from training.data.snapshots.owned_tables import table_exists
from training.erasure.copies.tables import forget
from training.erasure.work import Copy, Work

KNOWN_STORES = ("online_store.store.WideOnlineStore", "postgres")
ENTITY_KEYS = "SELECT DISTINCT entity_key FROM {table} WHERE position(%s in entity_key) > 0"
STOCK_ROWS = "FROM {table} WHERE entity_key = ANY(%s) AND event_ts <= %s"


def erase(work: Work) -> Iterator[Copy]:
    """Rows of each view of the use case that is keyed by all named keys."""
    store = configuration(work.settings)
    online, project = store["online_store"], store["project"]
    schema = str(online.get("db_schema") or online["user"]).strip()
    with psycopg.connect(work.settings.conninfo(), autocommit=True) as connection:
        views = _views(connection, project, work)
        for name in list_views(connection, schema, project):
            if re.sub(r"_v\d+$", "", name) in views or name in views:
                yield from _erase_wide(connection, work, (schema, project, name))
        for name in views:
            yield from _erase_stock(connection, work, schema, f"{project}_{name}")
    if online["type"] not in KNOWN_STORES:
        yield Copy(f"online store {online['type']}", 0, "another store: delete the entity there")


def _views(connection: psycopg.Connection[Any], project: str, work: Work) -> list[str]:
    """The views on the raw tables of the use case."""
    try:
        every: Mapping[str, Any] = read_all(connection, project, "feature_view")
    except FeatureContractMismatch:  # nothing has been applied yet
        return []
    own = raw_tables(work.use_case)
    return [name for name, view in every.items() if view.spec.batch_source.name in own]


def _erase_wide(connection: psycopg.Connection[Any], work: Work, view: tuple[str, str, str]) -> Iterator[Copy]:
    schema, project, name = view
    layout = read_layout(connection, project, name, schema=schema)
    if work.subject.has([key.name for key in layout.keys]):
        each = erase_keys if work.apply else count_keys
        count = each(connection, layout, work.subject.keys, work.until)
        if work.apply and count:
            forget(connection, [f"{schema}.{layout.table}"])
        yield Copy(f"{schema}.{layout.table}", count)


def _erase_stock(connection: psycopg.Connection[Any], work: Work, schema: str, table: str) -> Iterator[Copy]:
    """In a table of Feast's own store, keyed by serialised keys, of which each feature has a row."""
    if not table_exists(connection, f"{schema}.{table}"):
        return
    name = {"table": sql.Identifier(schema, table)}
    first = next(iter(work.subject.keys.values()))
    part = first.to_bytes(8, "little", signed=True) if isinstance(first, int) else first.encode()
    keys = [bytes(key) for (key,) in connection.execute(sql.SQL(ENTITY_KEYS).format(**name), [part], binary=True)]
    own = [key for key in keys if work.subject.is_row(_deserialised(key))]
    verb = sql.SQL("DELETE " if work.apply else "SELECT count(*) ")
    done = connection.execute(verb + sql.SQL(STOCK_ROWS).format(**name), [own, work.until])
    count = done.rowcount if work.apply else (done.fetchone() or (0,))[0]
    yield Copy(f"{schema}.{table}", count)


def _deserialised(key: bytes) -> dict[str, Any]:
    from feast.infra.key_encoding_utils import deserialize_entity_key

    read = deserialize_entity_key(key, entity_key_serialization_version=3)
    values = (getattr(value, value.WhichOneof("val")) for value in read.entity_values)
    return dict(zip(read.join_keys, values, strict=True))
