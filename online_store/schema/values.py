"""Feast's Values and the columns: a Value in, a field of a COPY out; a column's Python value in, a Value out.

A column has the type that the feature is declared with. A number of another kind is taken where nothing is lost by it;
everything else is refused with the view, the feature and the kind.
"""

import functools
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

from feast.protos.feast.types.Value_pb2 import Value

from online_store.errors import UnfitValue
from online_store.schema.column_types import LIST
from online_store.schema.layout import Column
from online_store.writing.copy_format import NULL, encoder, sized

NUMBERS = frozenset({"int32_val", "int64_val", "float_val", "double_val", "unix_timestamp_val"})
ALIKE = {"PDF_BYTES": "BYTES", "IMAGE_BYTES": "BYTES"}

Writer = Callable[[Value], bytes]
Maker = Callable[[Any], Value]


def kind_of(feast_type: str) -> str:
    """The name of the field in which a Value of that type keeps it: int64_val, string_list_val, ..."""
    return f"{ALIKE.get(feast_type, feast_type).lower()}_val"


def is_null(value: Value) -> bool:
    """Whether the Value holds nothing."""
    return value.WhichOneof("val") in (None, "null_val")


def field_writer(column: Column, view: str) -> Writer:
    """What makes a field of a COPY of a feature's Value. It raises UnfitValue."""
    if column.wrapped:
        return lambda value: NULL if is_null(value) else sized(value.SerializeToString(deterministic=True))
    expected, encode = kind_of(column.feast_type), encoder(column.pg_type)
    is_list = column.feast_type.endswith(LIST)

    def write(value: Value) -> bytes:
        kind = value.WhichOneof("val")
        if kind is None or kind == "null_val":
            return NULL
        try:
            held = getattr(value, kind)
            if kind != expected:
                held = _converted(held, kind, expected)
            elif is_list:
                held = held.val
            return encode(held)
        except (ValueError, OverflowError, struct.error) as error:
            raise UnfitValue(
                f"Feature {column.name} of view {view} is declared {column.feast_type}, and its column cannot hold this"
                f" {kind}: {error or 'another kind'}."
            ) from error

    return write


def value_maker(column: Column) -> Maker:
    """What makes a Value of what PostgreSQL gives for the column; None becomes the empty Value."""
    if column.wrapped:
        return lambda held: Value() if held is None else Value.FromString(held)
    kind = kind_of(column.feast_type)
    if column.feast_type.endswith(LIST):
        return functools.partial(_list_value, kind)
    return _SCALAR_MAKERS[kind]


def key_value(column: Column, value: Value) -> Any:
    """A join key as its column has it, in Python, timestamps as seconds. Raises ValueError where it cannot be there."""
    kind = value.WhichOneof("val")
    if kind in (None, "null_val"):
        raise ValueError("it is null")
    if column.wrapped:
        return value.SerializeToString(deterministic=True)
    held, expected = getattr(value, kind), kind_of(column.feast_type)
    return held if kind == expected else _converted(held, kind, expected)


def _converted(held: Any, kind: str, expected: str) -> Any:
    """The number, or the list of numbers, as one of another kind, where that is the same number."""
    if kind.endswith("_list_val") and expected.endswith("_list_val"):
        kind, expected = (each.replace("_list_val", "_val") for each in (kind, expected))
        if {kind, expected} <= NUMBERS:
            return [_number(each, expected) for each in held.val]
    if {kind, expected} <= NUMBERS:
        return _number(held, expected)
    raise ValueError(f"it is no {expected}")


def _number(held: float, expected: str) -> float:
    if expected not in ("float_val", "double_val"):
        if held != int(held):
            raise ValueError(f"{held} is not whole")
        return int(held)
    real = float(held)
    kept = struct.unpack(">f", struct.pack(">f", real))[0] if expected == "float_val" else real
    if kept != held and not math.isnan(kept):
        raise ValueError(f"{held} would lose digits")
    return real


def _list_value(kind: str, held: Any) -> Value:
    value = Value()
    if held is not None:
        each = getattr(value, kind)
        each.SetInParent()  # an empty list is not null
        each.val.extend(held)
    return value


_SCALAR_MAKERS: Mapping[str, Maker] = {
    "bool_val": lambda held: Value(bool_val=held),
    "bytes_val": lambda held: Value(bytes_val=held),
    "double_val": lambda held: Value(double_val=held),
    "float_val": lambda held: Value(float_val=held),
    "int32_val": lambda held: Value(int32_val=held),
    "int64_val": lambda held: Value(int64_val=held),
    "string_val": lambda held: Value(string_val=held),
    "unix_timestamp_val": lambda held: Value(unix_timestamp_val=held),
}
"""Protobuf takes a None in a keyword for nothing: the empty Value."""
