"""The columns of answers and shadow scores: fields of PostgreSQL's binary COPY <-> arrays of Arrow, bit for bit."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from online_store.encoding.column_types import OIDS
from online_store.encoding.copy_format import NULL, length_prefixed

TYPES: Mapping[str, str] = {
    "at": "timestamptz",
    "request": "uuid",
    "model": "int8",
    "target_as_of": "timestamptz",
    "score": "float8",
    "item": "int2",
    "status": "int2",
    "decision": "int2",
    "entity": "text",
    "code": "text",
    "api_key": "text",
    "caller_id": "text",
    "verdicts": "text",
    "scores": "float8[]",
    "floats": "float8[]",
    "integers": "int8[]",
    "texts": "text[]",
    "moments": "timestamptz[]",
}
"""Each column with its type in PostgreSQL, in the order of the files; shadow scores have some of them."""

NUMBERS = {"int2": ">i2", "int8": ">i8", "float8": ">f8", "timestamptz": ">i8"}
ARROW = {
    "int2": pa.int16(),
    "int8": pa.int64(),
    "float8": pa.float64(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "uuid": pa.uuid(),
    "text": pa.string(),
}
POSTGRES_EPOCH = 946_684_800_000_000
"""Of PostgreSQL's timestamps, in microseconds since 1970."""
_COUNT, _LENGTH, _ARRAY, _EMPTY = (
    struct.Struct(">h"),
    struct.Struct(">i"),
    struct.Struct(">iiiii"),
    struct.Struct(">iii"),
)

Field = bytes | None
"""The bytes of a value, without their length."""


def arrow_type(pg_type: str) -> Any:
    """The type of a column in the file."""
    return pa.list_(ARROW[pg_type.removesuffix("[]")]) if pg_type.endswith("[]") else ARROW[pg_type]


def fields_of(data: bytes, start: int, count: int) -> list[Field]:
    """`count` fields from a place on, which must end the data. Raises ValueError or struct.error."""
    fields = list[Field]()
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(data, start)
        start += _LENGTH.size
        fields.append(None if length < 0 else data[start : start + length])
        start += max(length, 0)
    if start != len(data):
        raise ValueError("the fields do not end where the data ends")
    return fields


def row_fields(row: bytes, columns: int = len(TYPES)) -> list[Field]:
    """The fields of a row. Raises ValueError or struct.error where it has another number of columns."""
    if _COUNT.unpack_from(row) != (columns,):
        raise ValueError("the row has another number of columns")
    return fields_of(row, _COUNT.size, columns)


def arrow_array(fields: Sequence[Field], pg_type: str) -> Any:
    """The fields of a column as an array."""
    if pg_type.endswith("[]"):
        return _lists([None if each is None else _elements(each) for each in fields], pg_type.removesuffix("[]"))
    if pg_type == "text":
        return pa.array(fields, pa.binary()).cast(pa.string())
    if pg_type == "uuid":
        return pa.ExtensionArray.from_storage(pa.uuid(), pa.array(fields, pa.binary(16)))
    dtype = np.dtype(NUMBERS[pg_type])
    absent = bytes(dtype.itemsize)
    content = b"".join(absent if each is None else each for each in fields)
    numbers = np.frombuffer(content, dtype).byteswap().view(dtype.newbyteorder("<"))
    if pg_type == "timestamptz":
        numbers = numbers + POSTGRES_EPOCH
    nulls = np.fromiter((each is None for each in fields), bool, len(fields))
    return pa.array(numbers, mask=nulls).cast(ARROW[pg_type])


def copy_fields(array: Any, pg_type: str) -> list[bytes]:
    """The values of a column as fields with their lengths: the inverse of `arrow_array`."""
    if pg_type.endswith("[]"):
        return [*_array_fields(array, pg_type.removesuffix("[]"))]
    if pg_type in ("text", "uuid"):
        plain = array.storage if pg_type == "uuid" else array.cast(pa.binary())
        return [NULL if each is None else length_prefixed(each) for each in plain.to_pylist()]
    dtype = np.dtype(NUMBERS[pg_type])
    values = array.cast(pa.int64()) if pg_type == "timestamptz" else array
    numbers = values.fill_null(0).to_numpy(zero_copy_only=False)
    if pg_type == "timestamptz":
        numbers = numbers - POSTGRES_EPOCH
    cells = np.zeros(len(numbers), dtype=[("length", ">i4"), ("value", dtype)])
    cells["length"], cells["value"] = dtype.itemsize, numbers
    content, width = cells.tobytes(), cells.itemsize
    nulls = array.is_null().to_numpy(zero_copy_only=False)
    return [NULL if nulls[place] else content[place * width : (place + 1) * width] for place in range(len(numbers))]


def _elements(field: bytes) -> list[Field]:
    dimensions, _, _, count, _ = _ARRAY.unpack_from(field) if len(field) > _EMPTY.size else (0, 0, 0, 0, 1)
    if dimensions > 1:
        raise ValueError("an array has several dimensions")
    return fields_of(field, _ARRAY.size, count) if count else []


def _lists(lists: Sequence[list[Field] | None], element: str) -> Any:
    lengths = np.fromiter((len(each or ()) for each in lists), np.int32, len(lists))
    offsets = np.concatenate([[0], lengths.cumsum()]).astype(np.int32)
    flat = [field for each in lists for field in each or ()]
    absent = pa.array([each is None for each in lists], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), arrow_array(flat, element), mask=absent)


def _array_fields(array: Any, element: str) -> Iterator[bytes]:
    fields, nulls = copy_fields(array.flatten(), element), array.is_null().to_pylist()
    place = 0
    for null, length in zip(nulls, array.value_lengths().fill_null(0).to_pylist(), strict=True):
        own, place = fields[place : place + length], place + length
        if null:
            yield NULL
        elif not own:
            yield length_prefixed(_EMPTY.pack(0, 0, OIDS[element]))
        else:
            head = _ARRAY.pack(1, int(NULL in own), OIDS[element], length, 1)
            yield length_prefixed(head + b"".join(own))
