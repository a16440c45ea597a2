"""A body in Arrow's IPC stream format -> rows as plain data, a member for each column.

What is small in Arrow can be endless as plain data: a compressed buffer, a text that a dictionary names ten thousand
times, a list of nothing, bytes that a thousand columns share. So only types are taken whose values have bytes,
uncompressed, and values and bytes are counted before the first value is made.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from asof.errors import InvalidRequest
from asof.serving.batch.limits import MOST, MOST_BYTES, too_many
from asof.serving.http.problems import MAX_TEXT, invalid_request

MOST_VALUES = 200 * MOST
"""Of all columns together, those within lists counted."""
MOST_FIELDS = 1000
"""Columns of a stream, and members of a struct; an instance of the widest use case has thirty."""
HEADER, COMPRESSION = 2, 3
"""The fields of `Message` and of `RecordBatch` in Arrow's Message.fbs, counted from 0."""
OLD_COMPRESSION = b"ARROW:experimental_compression"
"""How Arrow 0.17 said that buffers are compressed, in a message's metadata; pyarrow still unpacks them."""


def read_rows(body: bytes) -> list[dict[str, Any]]:
    """The rows of all record batches. Raises InvalidRequest where the body is no such stream, TooManyInstances."""
    try:
        batches = list(_batches(body))
    except (pa.ArrowException, OSError, ValueError, struct.error) as error:
        raise _refusal(f"not an Arrow IPC stream: {error}") from error
    rows = sum(batch.num_rows for batch in batches)
    if rows > MOST:
        raise too_many(rows)
    if not rows:
        raise _refusal("the stream holds no row")
    if (values := sum(_values(column) for batch in batches for column in batch.columns)) > MOST_VALUES:
        raise _refusal(f"the stream holds {values} values, and {MOST_VALUES} are taken at most")
    if sum(batch.nbytes for batch in batches) > MOST_BYTES:  # what two columns share counts twice
        raise _refusal("columns share their bytes: send each its own")
    return [row for batch in batches for row in _plain(batch)]


def _batches(body: bytes) -> Iterator[Any]:
    """Each record batch, found valid to its last value. Raises pa.ArrowException and InvalidRequest."""
    messages = iter(pa.ipc.MessageReader.open_stream(pa.py_buffer(body)))
    schema = pa.ipc.read_schema(_of_type("schema", next(messages, None)))
    _require_plain(schema)
    for message in messages:
        if _is_compressed(_of_type("record batch", message)):
            raise _refusal("the stream is compressed: send it plain")
        batch = pa.ipc.read_record_batch(message, schema)
        if batch.num_rows <= MOST:  # more are refused without a look
            batch.validate(full=True)
        yield batch


def _of_type(kind: str, message: Any) -> Any:
    """The message. Whatever reads it takes its type for granted, and crashes where it is another."""
    if message is None or message.type != kind:
        raise pa.ArrowInvalid(f"a {kind} is expected, and {message.type if message else 'nothing'} comes")
    return message


def _require_plain(schema: Any) -> None:
    if not 0 < len(schema) <= MOST_FIELDS:
        raise _refusal(f"the stream has {len(schema)} columns: send one for each member of an instance")
    if repeated := {name for name, count in Counter(schema.names).items() if count > 1}:
        raise _refusal(f"the column {min(repeated)!r:.{MAX_TEXT}} occurs twice")
    for field in schema:
        if not _is_plain(field.type):
            kind = str(field.type)[:MAX_TEXT]
            raise _refusal(f"the column {field.name!r:.{MAX_TEXT}} is of type {kind}, which is not taken")


def _is_plain(kind: Any) -> bool:
    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind):
        return _is_plain(kind.value_type)
    if types.is_struct(kind):
        names = [field.name for field in kind.fields]
        return (
            len(names) <= MOST_FIELDS
            and len(set(names)) == len(names)
            and all(_is_plain(field.type) for field in kind.fields)
        )
    taken = (types.is_integer, types.is_floating, types.is_boolean, types.is_string, types.is_large_string)
    return any(each(kind) for each in taken)


def _values(column: Any) -> int:
    """How many values a column holds, those within it counted."""
    if pa.types.is_struct(column.type):
        return len(column) + sum(_values(column.field(place)) for place in range(column.type.num_fields))
    nested = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    return len(column) + (_values(column.values) if nested else 0)


def _plain(batch: Any) -> list[dict[str, Any]]:
    columns = [column.to_pylist() for column in batch.columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _refusal(rule: str) -> InvalidRequest:
    return invalid_request([{"type": "arrow", "loc": ("body",), "msg": rule}])


def _is_compressed(message: Any) -> bool:
    """Whether a record batch's buffers are compressed, which pyarrow does not tell before it has unpacked them."""
    flat = message.metadata.to_pybytes()
    if OLD_COMPRESSION in flat:
        return True
    root = struct.unpack_from("<I", flat)[0]
    header = _field(flat, root, HEADER)
    if not header:
        return False
    batch = header + struct.unpack_from("<I", flat, header)[0]
    return bool(_field(flat, batch, COMPRESSION))


def _field(flat: bytes, table: int, number: int) -> int:
    """Where a field of a FlatBuffers table lies; 0 where it is absent. A vtable of offsets says so."""
    vtable = table - struct.unpack_from("<i", flat, table)[0]
    place = 4 + 2 * number
    if place >= struct.unpack_from("<H", flat, vtable)[0]:
        return 0
    offset: int = struct.unpack_from("<H", flat, vtable + place)[0]
    return table + offset if offset else 0
