"""Arrays of keys as parameters of a query, in binary form and of one type each, whatever is in them.

psycopg would choose int2[], int4[] or int8[] by the greatest number in the list, and so prepare one query three times.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

from online_store.writing.copy_format import array

ARRAY_OIDS: Mapping[str, int] = {
    "bool": 1000,
    "bytea": 1001,
    "int4": 1007,
    "text": 1009,
    "int8": 1016,
    "float4": 1021,
    "float8": 1022,
    "timestamptz": 1185,
}


class KeyArray:
    """An array of one type of keys, encoded."""

    def __init__(self, data: bytes) -> None:
        self.data = data


_CLASSES: Mapping[str, type[KeyArray]] = {name: type(f"KeyArray_{name}", (KeyArray,), {}) for name in ARRAY_OIDS}


def key_array(pg_type: str, keys: Sequence[Any]) -> KeyArray:
    """Raises struct.error, OverflowError or ValueError where a key cannot be of that type."""
    return _CLASSES[pg_type](array(pg_type, keys))


def register(context: AdaptContext) -> None:
    """Teaches a connection these parameters."""
    for name, each in _CLASSES.items():
        dumper = type(f"Dumper_{name}", (_KeyArrayDumper,), {"oid": ARRAY_OIDS[name]})
        assert context.adapters is not None  # noqa: S101 - a connection has them
        context.adapters.register_dumper(each, dumper)


class _KeyArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: KeyArray) -> bytes:
        return obj.data
