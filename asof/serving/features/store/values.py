"""The bytes of a Feast Value -> the Python value in it; None for a null, and for a NaN, which no model may see."""

import functools
from struct import Struct
from typing import Any

from asof.serving.features.store.feast_messages import feast_messages

SCALARS = ("Bool", "Float32", "Float64", "Int32", "Int64", "String")
"""The Feast types whose values are read here."""

# A protobuf field starts with a byte of its number and its kind: `double_val` is number 5, of eight bytes (kind 1).
DOUBLE_VAL, DOUBLE_BYTES = 5 << 3 | 1, 9
_double = Struct("<xd").unpack

SHORT = 64
"""Bytes of a value that is kept: whole numbers, truth values and categories are few and come again and again."""


def value_of(stored: bytes | None) -> Any:
    """The value, as Feast's API gives it."""
    if not stored:
        return None
    if stored[0] == DOUBLE_VAL and len(stored) == DOUBLE_BYTES:
        (number,) = _double(stored)
        return number if number == number else None
    return _kept(stored) if len(stored) <= SHORT else _parsed(stored)


def _parsed(stored: bytes) -> Any:
    value = feast_messages().value.FromString(stored)
    kind = value.WhichOneof("val")
    if kind is None or kind == "null_val":
        return None
    held = getattr(value, kind)
    return held if held == held else None


_kept = functools.lru_cache(maxsize=4096)(_parsed)
