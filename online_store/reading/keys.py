"""Feast's entity keys: an EntityKey in, a tuple in the order of the table's primary key out."""

import struct
from collections.abc import Mapping
from typing import Any

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from online_store.errors import UnfitValue
from online_store.reading.lookup import Key
from online_store.schema.layout import Column, Layout
from online_store.schema.values import key_value
from online_store.writing.copy_format import encoder

ENTITYLESS = "__dummy_id"
"""Feast's join key of views that have no entity; on-demand views without one leave even this out."""

UNFIT = (ValueError, OverflowError, struct.error)


def find_key(layout: Layout, entity: EntityKey) -> Key | None:
    """For reading: None where no row can have that key, as when it is of another kind."""
    values = dict(zip(entity.join_keys, entity.entity_values, strict=True))
    try:
        key = tuple([_key(column, values) for column in layout.keys])
        for column, held in zip(layout.keys, key, strict=True):
            if column.pg_type in _NARROW:
                encoder(column.pg_type)(held)
    except (KeyError, *UNFIT):
        return None
    return key


_NARROW = frozenset({"float4", "int4", "int8", "text", "timestamptz"})
"""Types that do not hold every value of their kind."""


def key_fields(layout: Layout, entity: EntityKey) -> tuple[Key, bytes]:
    """For writing: the key, and its fields of a COPY. Raises UnfitValue."""
    values = dict(zip(entity.join_keys, entity.entity_values, strict=True))
    key, fields = [], []
    for column in layout.keys:
        try:
            held = _key(column, values)
            fields.append(encoder(column.pg_type)(held))
        except KeyError as error:
            raise UnfitValue(f"A row of view {layout.view} lacks the join key {column.name}.") from error
        except UNFIT as error:
            raise UnfitValue(
                f"Join key {column.name} of view {layout.view} is declared {column.feast_type}, and this"
                f" {values[column.name].WhichOneof('val')} cannot be one: {error}."
            ) from error
        key.append(held)
    return tuple(key), b"".join(fields)


def _key(column: Column, values: Mapping[str, Value]) -> Any:
    if column.name == ENTITYLESS and ENTITYLESS not in values:
        return ""
    return key_value(column, values[column.name])
