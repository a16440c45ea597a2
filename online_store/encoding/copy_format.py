"""Encodes Python values as length-prefixed fields of a binary COPY.

psycopg's dumpers are not used because they choose a type by the Python value, and have no timestamps outside the range
of datetime. Here each column has one type, and a timestamp is 64 bits: microseconds since 2000, as in PostgreSQL.
"""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from online_store.encoding.column_types import OIDS

NULL = b"\xff\xff\xff\xff"
HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FIRST_SECOND, LAST_SECOND = -210_866_803_200, 9_224_318_015_999
"""The range of timestamptz, in seconds since 1970."""
NOT_A_TIME = -(2**63)
"""Feast's value for NaT and PostgreSQL's for -infinity: the same 64 bits."""

Encoder = Callable[[Any], bytes]
_INT4, _INT8, _FLOAT4, _FLOAT8 = (struct.Struct(form).pack for form in (">ii", ">iq", ">if", ">id"))
_LENGTH, _COUNT = (struct.Struct(form).pack for form in (">i", ">h"))
_ARRAY = struct.Struct(">iiiii").pack  # dimensions, may have nulls, element type, length, first index


def encoder(pg_type: str) -> Encoder:
    """A function that encodes a value other than NULL; timestamps are seconds since 1970.

    It raises struct.error, OverflowError or ValueError for what the type cannot hold.
    """
    if pg_type.endswith("[]"):
        element = pg_type.removesuffix("[]")
        return lambda values: length_prefixed(array(element, values))
    return _ENCODERS[pg_type]


def array(element: str, values: Sequence[Any], encode: Encoder | None = None) -> bytes:
    """A one-dimensional array, not length-prefixed: the form of a query parameter. `encode` may give NULL."""
    if not len(values):
        return struct.pack(">iii", 0, 0, OIDS[element])
    encode = encode or _ENCODERS[element]
    return _ARRAY(1, 1, OIDS[element], len(values), 1) + b"".join([encode(value) for value in values])


def row(count: int, fields: Sequence[bytes]) -> bytes:
    """One row of a COPY with `count` fields, some of which may be joined already."""
    return _COUNT(count) + b"".join(fields)


def timestamp(value: datetime) -> bytes:
    """A timestamptz; a naive datetime is UTC."""
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return _INT8(8, (aware - EPOCH) // MICROSECOND)


def jsonb(value: Any) -> bytes:
    """Version 1 of jsonb, the only one."""
    return length_prefixed(b"\x01" + json.dumps(value).encode())


def length_prefixed(data: bytes) -> bytes:
    """The bytes after their length in four bytes."""
    return _LENGTH(len(data)) + data


def _text(value: str) -> bytes:
    if "\x00" in value:
        raise ValueError("PostgreSQL's text cannot contain NUL")
    return length_prefixed(value.encode())


def _seconds(value: int) -> bytes:
    if value == NOT_A_TIME:
        return _INT8(8, NOT_A_TIME)
    if not FIRST_SECOND <= value <= LAST_SECOND:
        raise OverflowError(f"{value} seconds since 1970 is out of the range of timestamptz")
    return _INT8(8, (value - int(EPOCH.timestamp())) * 1_000_000)


_ENCODERS: Mapping[str, Encoder] = {
    "bool": lambda value: b"\x00\x00\x00\x01\x01" if value else b"\x00\x00\x00\x01\x00",
    "bytea": length_prefixed,
    "float4": lambda value: _FLOAT4(4, value),
    "float8": lambda value: _FLOAT8(8, value),
    "int4": lambda value: _INT4(4, value),
    "int8": lambda value: _INT8(8, value),
    "text": _text,
    "timestamptz": _seconds,
    "uuid": lambda value: length_prefixed(UUID(value).bytes),
}
