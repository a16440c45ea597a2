"""Converts Feast's Values to fields of a COPY, and Python values of columns to Values.

A column has the feature's declared type. A number of another type is converted if that loses nothing, and a double for
a float is rounded; anything else raises InvalidValue with the view, the feature and the type.
"""

import functools
import struct
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from feast.protos.feast.types.Value_pb2 import Value

from online_store.encoding.column_types import LIST
from online_store.encoding.copy_format import NULL, encoder, length_prefixed
from online_store.errors import InvalidValue
from online_store.schema.layout import Column

NUMBERS = frozenset({"int32_val", "int64_val", "float_val", "double_val", "unix_timestamp_val"})
ALIKE = {"PDF_BYTES": "BYTES", "IMAGE_BYTES": "BYTES", "UUID_KEY": "UUID"}

Writer = Callable[[Value], bytes]
Maker = Callable[[Any], Value]


def kind_of(feast_type: str) -> str:
    """The field of a Value for that type: int64_val, string_list_val, ..."""
    return f"{ALIKE.get(feast_type, feast_type).lower()}_val"


def is_null(value: Value) -> bool:
    """Whether the Value is empty."""
    return value.WhichOneof("val") in (None, "null_val")


def field_writer(column: Column, view: str) -> Writer:
    """A function that encodes a feature's Value as a field of a COPY. It raises InvalidValue."""
    if column.wrapped:
        return lambda value: NULL if is_null(value) else length_prefixed(value.SerializeToString(deterministic=True))
    expected, encode = kind_of(column.feast_type), encoder(column.pg_type)
    is_list = column.feast_type.endswith(LIST)

    def write(value: Value) -> bytes:
        kind = value.WhichOneof("val")
        if kind is None or kind == "null_val":
            return NULL
        try:
            content = getattr(value, kind)
            if kind != expected:
                content = _converted(content, kind, expected)
            elif is_list:
                content = content.val
            return encode(content)
        except (ValueError, OverflowError, struct.error) as error:
            raise InvalidValue(
                f"Feature {column.name} of view {view} is declared {column.feast_type}, and its column cannot hold this"
                f" {kind}: {error or 'of another type'}."
            ) from error

    return write


def value_maker(column: Column) -> Maker:
    """A function that makes a Value of the column's Python value; None becomes the empty Value."""
    if column.wrapped:
        return lambda content: Value() if content is None else Value.FromString(content)
    kind = kind_of(column.feast_type)
    if column.feast_type.endswith(LIST):
        return functools.partial(_list_value, kind)
    return _SCALAR_MAKERS[kind]


def key_value(column: Column, value: Value) -> Any:
    """A join key as a Python value, timestamps as seconds, UUIDs as their canonical text.

    Raises ValueError where the column cannot hold it.
    """
    kind = value.WhichOneof("val")
    if kind in (None, "null_val"):
        raise ValueError("it is null")
    if column.wrapped:
        return value.SerializeToString(deterministic=True)
    content, expected = getattr(value, kind), kind_of(column.feast_type)
    if kind != expected:
        return _converted(content, kind, expected)
    return str(UUID(content)) if column.pg_type == "uuid" else content


def _converted(content: Any, kind: str, expected: str) -> Any:
    """The number, or the list of numbers, in another type. Raises ValueError where it would not be equal."""
    if kind.endswith("_list_val") and expected.endswith("_list_val"):
        kind, expected = (each.replace("_list_val", "_val") for each in (kind, expected))
        if {kind, expected} <= NUMBERS:
            return [_number(each, expected) for each in content.val]
    if {kind, expected} <= NUMBERS:
        return _number(content, expected)
    raise ValueError(f"it is not {expected}")


def _number(number: float, expected: str) -> float:
    if expected not in ("float_val", "double_val"):
        if number != int(number):
            raise ValueError(f"{number} is not an integer")
        return int(number)
    real = float(number)
    if isinstance(number, float):  # a float's column rounds it
        return real
    kept = struct.unpack(">f", struct.pack(">f", real))[0] if expected == "float_val" else real
    if kept != number:
        raise ValueError(f"{number} would lose digits")
    return real


def _list_value(kind: str, content: Any) -> Value:
    value = Value()
    if content is not None:
        field = getattr(value, kind)
        field.SetInParent()  # an empty list is not null
        field.val.extend(content)
    return value


# Written out because a keyword by name is faster than one from a dictionary; None gives the empty Value.
_SCALAR_MAKERS: Mapping[str, Maker] = {
    "bool_val": lambda content: Value(bool_val=content),
    "bytes_val": lambda content: Value(bytes_val=content),
    "double_val": lambda content: Value(double_val=content),
    "float_val": lambda content: Value(float_val=content),
    "int32_val": lambda content: Value(int32_val=content),
    "int64_val": lambda content: Value(int64_val=content),
    "string_val": lambda content: Value(string_val=content),
    "unix_timestamp_val": lambda content: Value(unix_timestamp_val=content),
}
