"""Entities' keys -> the array that PostgreSQL looks them up by, in its binary form.

A key that its column cannot hold (another kind of value, a text with a NUL, half of a surrogate pair) is nobody's: it
becomes a null, which equals no key. So it harms none of the others.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from online_store.errors import NotOffered
from online_store.reading.parameters import ARRAY_OIDS
from online_store.schema.column_types import OIDS
from online_store.writing.copy_format import NULL, encoder

KINDS: Mapping[str, type] = {"bool": bool, "bytea": bytes, "int4": int, "int8": int, "text": str}
"""The types that keys may have here, and Python's."""

_header = struct.Struct("!iiIii").pack  # dimensions, whether there are nulls, the element's type, length, first number


def array_oid(pg_type: str) -> int:
    """The number of the array's type. Raises NotOffered where keys of that type are left to Feast's interface."""
    if pg_type not in KINDS:
        raise NotOffered(f"Keys of PostgreSQL's type {pg_type} are not looked up directly: read through Feast.")
    return ARRAY_OIDS[pg_type]


def key_array(pg_type: str, keys: Sequence[Any]) -> bytes:
    """One dimension, counted from 1. `pg_type` is one that `array_oid` knows."""
    encode, kind = encoder(pg_type), KINDS[pg_type]

    def element(key: Any) -> bytes:
        if not isinstance(key, kind) or isinstance(key, bool) is not (kind is bool):
            return NULL
        try:
            return encode(key)
        except (ValueError, struct.error):
            return NULL

    return _header(1, 1, OIDS[pg_type], len(keys), 1) + b"".join([element(key) for key in keys])
