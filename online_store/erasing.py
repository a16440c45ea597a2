"""Deletes entities from the tables of this store, and from those of Feast's own store beside them.

An entity is named by the values of some or all of its join keys.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from psycopg import Connection

from online_store.schema.layout import EVENT_TS, Layout
from online_store.schema.names import quoted

Keys = Mapping[str, str | int]
Rows = Callable[[str, list[Any]], int]
"""Deletes or counts the rows of a `FROM ... WHERE ...` with its parameters."""


def deletes(connection: Connection[Any]) -> Rows:
    """Deletes the rows; returns how many."""
    return lambda query, values: connection.execute(f"DELETE {query}".encode(), values).rowcount


def counts(connection: Connection[Any]) -> Rows:
    """Only counts them."""

    def count(query: str, values: list[Any]) -> int:
        row = connection.execute(f"SELECT count(*) {query}".encode(), values).fetchone()
        return int(row[0]) if row else 0

    return count


def in_view(layout: Layout, keys: Keys, until: datetime, rows: Rows) -> int:
    """The rows of a view up to a moment. `keys` are among its join keys."""
    columns = {each.name: each for each in layout.keys}
    named = (f"{quoted(columns[name].column)} = %s::{columns[name].pg_type}" for name in keys)
    return rows(f"FROM {layout.full_name} WHERE {' AND '.join(named)} AND {EVENT_TS} <= %s", [*keys.values(), until])


def in_feast_table(connection: Connection[Any], table: str, keys: Keys, until: datetime, rows: Rows) -> int:
    """The same in a table of Feast's own store, whose name is quoted: a row for each feature of a serialised key."""
    first = next(iter(keys.values()))
    part = first.to_bytes(8, "little", signed=True) if isinstance(first, int) else first.encode()
    query = f"SELECT DISTINCT entity_key FROM {table} WHERE position(%s in entity_key) > 0".encode()
    every = [bytes(key) for (key,) in connection.execute(query, [part], binary=True)]
    own = [key for key in every if keys.items() <= _deserialised(key).items()]
    return rows(f"FROM {table} WHERE entity_key = ANY(%s) AND event_ts <= %s", [own, until])


def _deserialised(key: bytes) -> dict[str, Any]:
    from feast.infra.key_encoding_utils import deserialize_entity_key

    read = deserialize_entity_key(key, entity_key_serialization_version=3)
    values = (getattr(value, value.WhichOneof("val")) for value in read.entity_values)
    return dict(zip(read.join_keys, values, strict=True))
