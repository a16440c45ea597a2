"""PostgreSQL's binary forms: Python values in, the fields of a binary COPY out, each behind its length.

Written here because psycopg's own dumpers choose by the Python value and know no timestamp outside of a datetime's
years; a column here has one type, and a timestamp is what PostgreSQL makes of it: microseconds since 2000, in 64 bits.
"""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from online_store.schema.column_types import OIDS

NULL = b"\xff\xff\xff\xff"
HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FIRST_SECOND, LAST_SECOND = -210_866_803_200, 9_224_318_015_999
"""What a timestamptz can hold, in seconds since 1970."""
NOT_A_TIME = -(2**63)
"""What Feast writes for a NaT, and what PostgreSQL calls -infinity: the same 64 bits."""

Encoder = Callable[[Any], bytes]
_INT4, _INT8, _FLOAT4, _FLOAT8 = (struct.Struct(form).pack for form in (">ii", ">iq", ">if", ">id"))
_LENGTH, _COUNT = (struct.Struct(form).pack for form in (">i", ">h"))
_ARRAY = struct.Struct(">iiiii").pack


def encoder(pg_type: str) -> Encoder:
    """Encodes a value of that type, NULL not among them.

    It raises struct.error, OverflowError or ValueError for what the type cannot hold. Timestamps are seconds since
    1970.
    """
    if pg_type.endswith("[]"):
        element = pg_type.removesuffix("[]")
        return lambda values: sized(array(element, values))
    return _ENCODERS[pg_type]


def array(element: str, values: Sequence[Any]) -> bytes:
    """An array of one dimension in binary form, without its length: what a parameter of a query is."""
    if not len(values):
        return struct.pack(">iii", 0, 0, OIDS[element])
    encode = _ENCODERS[element]
    return _ARRAY(1, 0, OIDS[element], len(values), 1) + b"".join([encode(value) for value in values])


def row(count: int, fields: Sequence[bytes]) -> bytes:
    """One row of a COPY, of so many fields; some may come joined already."""
    return _COUNT(count) + b"".join(fields)


def moment(value: datetime) -> bytes:
    """A timestamptz to the microsecond; a moment without a zone is UTC."""
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return _INT8(8, (aware - BEGINNING) // MICROSECOND)


def jsonb(value: Any) -> bytes:
    """A jsonb, of the only version there is."""
    return sized(b"\x01" + json.dumps(value).encode())


def sized(data: bytes) -> bytes:
    """The bytes behind their length."""
    return _LENGTH(len(data)) + data


def _text(value: str) -> bytes:
    if "\x00" in value:
        raise ValueError("PostgreSQL keeps no NUL in a text")
    return sized(value.encode())


def _seconds(value: int) -> bytes:
    if value == NOT_A_TIME:
        return _INT8(8, NOT_A_TIME)
    if not FIRST_SECOND <= value <= LAST_SECOND:
        raise OverflowError(f"{value} seconds since 1970 is no moment that PostgreSQL keeps")
    return _INT8(8, (value - int(BEGINNING.timestamp())) * 1_000_000)


_ENCODERS: Mapping[str, Encoder] = {
    "bool": lambda value: b"\x00\x00\x00\x01\x01" if value else b"\x00\x00\x00\x01\x00",
    "bytea": sized,
    "float4": lambda value: _FLOAT4(4, value),
    "float8": lambda value: _FLOAT8(8, value),
    "int4": lambda value: _INT4(4, value),
    "int8": lambda value: _INT8(8, value),
    "text": _text,
    "timestamptz": _seconds,
}
