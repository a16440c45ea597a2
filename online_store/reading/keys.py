"""Feast's entity keys as tuples, in the order of the table's primary key."""

import struct
from collections.abc import Mapping
from typing import Any

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from online_store.encoding.copy_format import encoder
from online_store.errors import InvalidValue
from online_store.schema.feast_view import ENTITYLESS
from online_store.schema.layout import Column, Layout
from online_store.schema.values import key_value

Key = tuple[Any, ...]
ENCODING_ERRORS = (ValueError, OverflowError, struct.error)


def find_key(layout: Layout, entity: EntityKey) -> Key | None:
    """For reading: None if no row can have that key, as when it is of another type."""
    try:
        return key_fields(layout, entity)[0]
    except InvalidValue:
        return None


def key_fields(layout: Layout, entity: EntityKey) -> tuple[Key, bytes]:
    """For writing: the key, and its fields of a COPY. Raises InvalidValue."""
    values = dict(zip(entity.join_keys, entity.entity_values, strict=True))
    key, fields = [], []
    for column in layout.keys:
        try:
            value = _key(column, values)
            fields.append(encoder(column.pg_type)(value))
        except KeyError as error:
            raise InvalidValue(f"A row of view {layout.view} lacks the join key {column.name}.") from error
        except ENCODING_ERRORS as error:
            raise InvalidValue(
                f"Join key {column.name} of view {layout.view} is declared {column.declared}, and this"
                f" {values[column.name].WhichOneof('val')} cannot be one: {error}."
            ) from error
        key.append(value)
    return tuple(key), b"".join(fields)


def _key(column: Column, values: Mapping[str, Value]) -> Any:
    if column.name == ENTITYLESS and ENTITYLESS not in values:
        return ""
    return key_value(column, values[column.name])
