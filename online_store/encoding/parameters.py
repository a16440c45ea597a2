"""Arrays of keys as query parameters, in PostgreSQL's binary form.

`KeyArray` is a parameter for psycopg, which would otherwise choose int2[], int4[] or int8[] by the largest number in
the list and so prepare one query three times. `nullable_array` is a parameter for libpq.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

from online_store.encoding.copy_format import NULL, array, encoder
from online_store.errors import Unsupported

ARRAY_OIDS: Mapping[str, int] = {
    "bool": 1000,
    "bytea": 1001,
    "int4": 1007,
    "text": 1009,
    "int8": 1016,
    "float4": 1021,
    "float8": 1022,
    "timestamptz": 1185,
    "uuid": 2951,
}
DIRECT_KEY_TYPES: Mapping[str, type] = {
    "bool": bool,
    "bytea": bytes,
    "int4": int,
    "int8": int,
    "text": str,
    "uuid": str,
}
"""The types of keys that can be looked up without Feast, with their Python types."""


class KeyArray:
    """An encoded array of keys of one type."""

    def __init__(self, data: bytes) -> None:
        self.data = data


_CLASSES: Mapping[str, type[KeyArray]] = {name: type(f"KeyArray_{name}", (KeyArray,), {}) for name in ARRAY_OIDS}


class _KeyArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: KeyArray) -> bytes:
        return obj.data


def key_array(pg_type: str, keys: Sequence[Any]) -> KeyArray:
    """The keys, None as a null. Raises struct.error, OverflowError or ValueError for one that the type cannot hold."""
    encode = encoder(pg_type)
    return _CLASSES[pg_type](array(pg_type, keys, lambda key: NULL if key is None else encode(key)))


def register(context: AdaptContext) -> None:
    """Registers KeyArray with a connection."""
    for name, each in _CLASSES.items():
        dumper = type(f"Dumper_{name}", (_KeyArrayDumper,), {"oid": ARRAY_OIDS[name]})
        assert context.adapters is not None  # noqa: S101 - a connection has them
        context.adapters.register_dumper(each, dumper)


def direct_array_oid(pg_type: str) -> int:
    """The OID of the array type. Raises Unsupported for keys that only Feast's interface can look up."""
    if pg_type not in DIRECT_KEY_TYPES:
        raise Unsupported(f"Keys of PostgreSQL type {pg_type} cannot be looked up directly: read through Feast.")
    return ARRAY_OIDS[pg_type]


def nullable_array(pg_type: str, keys: Sequence[Any]) -> bytes:
    """The keys, each one that no row can have (wrong type, NUL, lone surrogate) as a null, which matches nothing."""
    encode, python_type = encoder(pg_type), DIRECT_KEY_TYPES[pg_type]

    def element(key: Any) -> bytes:
        if not isinstance(key, python_type) or isinstance(key, bool) is not (python_type is bool):
            return NULL
        try:
            return encode(key)
        except (ValueError, struct.error):
            return NULL

    return array(pg_type, keys, element)
