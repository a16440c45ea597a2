"""Typed rows in chunks -> one SHA-256 over every cell, the same on every machine and for any chunking.

The canonical form, `asof rows 1`. Rows ascend by their unique key: what is hashed is then a function of the set of
rows, and a collision is one of SHA-256 itself. Row digests combined by xor or addition would need no order, but are
broken by linear algebra and the generalised birthday attack (Bellare and Micciancio, EUROCRYPT 1997; Wagner, CRYPTO
2002), and sorted row digests cost a hash and 32 bytes of memory for each row.

Each column is hashed on its own, as streams that do not depend on the chunks:

    presence   one byte a row: 1, or 0 for null; a null's own bytes below are zeros, or no bytes
    values     Bool         one byte, 0 or 1
               Int64        8 bytes, two's complement, little-endian
               Float64      8 bytes, IEEE 754 binary64, little-endian: -0.0 is not 0.0; every NaN is 7ff8000000000000
                            whatever its payload, and is not null
               UnixTimestamp  Int64 of microseconds since 1970-01-01 UTC; a time without a zone is taken as UTC
               String       the UTF-8 bytes of all rows, one after the other, without normalisation: to a model the
                            two encodings of an accented letter are two categories
    lengths    String only: the number of bytes of each, as Int64

The digest is SHA-256 over a header (`asof rows 1`, the number of rows, the names of the key) and, for each column in
the order of its name, the name, its Feast type and the SHA-256 of each stream. Each text here is preceded by its
length, so that no two sets give the same bytes. A library's own type of a column (object or str, Int64 or int64, an
Arrow dictionary or plain text) is not part of it.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.compute as compute
from numpy.typing import NDArray

from asof.errors import TrainingSetError

FORMAT = "asof rows 1"
TYPES: dict[str, arrow.DataType] = {
    "Bool": arrow.bool_(),
    "Int64": arrow.int64(),
    "Float64": arrow.float64(),
    "String": arrow.large_string(),
    "UnixTimestamp": arrow.timestamp("us", "UTC"),
}
"""The Arrow type for each Feast type that a training set can hold."""
ACCEPTED_TYPES: dict[str, Callable[[arrow.DataType], bool]] = {
    "Bool": arrow.types.is_boolean,
    "Int64": arrow.types.is_integer,
    "Float64": arrow.types.is_floating,
    "String": lambda each: arrow.types.is_string(each) or arrow.types.is_large_string(each),
    "UnixTimestamp": arrow.types.is_timestamp,
}
"""Whether a column of an Arrow type can hold the values, in any width; an all-null column may be of Arrow's null."""


def rows_digest(chunks: Iterable[arrow.Table], types: Mapping[str, str], *, key: Sequence[str]) -> str:
    """SHA-256 over all rows of all chunks: 64 hexadecimal digits. Memory is that of one chunk.

    `types` has each column's Feast type; a chunk's other columns are ignored. The rows of all chunks must ascend by
    `key` (text by code points, as Python sorts it). Raises TrainingSetError if they do not, if a key is null or
    duplicate, and if a value is not of its type.
    """
    columns = {name: _Column(types[name]) for name in sorted(types)}
    count, last = 0, None
    for chunk in chunks:
        if chunk.num_rows:
            values = {name: _typed(chunk[name], name, column.feast_type) for name, column in columns.items()}
            last = _check_order({name: values[name] for name in key}, last)
            for name, column in columns.items():
                column.update(values[name])
            count += chunk.num_rows
    parts = [FORMAT, str(count), str(len(key)), *key]
    for name, column in columns.items():
        parts += [name, column.feast_type, *column.digests()]
    whole = hashlib.sha256()
    for part in parts:
        text = part.encode()
        whole.update(len(text).to_bytes(8, "little") + text)
    return whole.hexdigest()


def _check_order(keys: Mapping[str, arrow.Array], last: Mapping[str, arrow.Array] | None) -> Mapping[str, arrow.Array]:
    """Returns the last key. Raises TrainingSetError unless the keys ascend from that of the chunk before."""
    names = " and ".join(keys)
    if any(each.null_count for each in keys.values()):
        raise TrainingSetError(f"A row has no {names}: each row needs its key.")
    if last is not None:
        keys = {name: arrow.concat_arrays([last[name], each]) for name, each in keys.items()}
    ascends = np.zeros(len(next(iter(keys.values()))) - 1, dtype=bool)
    ties = ~ascends
    for each in keys.values():
        ascends |= ties & _numpy(compute.less(each[:-1], each[1:]))
        ties &= _numpy(compute.equal(each[:-1], each[1:]))
    if not ascends.all():
        wrong = int(np.argmin(ascends))
        row = ", ".join(f"{name} {each[wrong + 1]}" for name, each in keys.items())
        fault = "comes twice" if ties[wrong] else "is out of order"
        raise TrainingSetError(f"The row of {row} {fault}: rows must ascend by {names}.")
    return {name: each[-1:] for name, each in keys.items()}


class _Column:
    """The running SHA-256 of each stream of one column."""

    def __init__(self, feast_type: str) -> None:
        self.feast_type = feast_type
        streams = 3 if feast_type == "String" else 2
        self._presence, self._values, *self._lengths = (hashlib.sha256() for _ in range(streams))

    def update(self, values: arrow.Array) -> None:
        self._presence.update(_numpy(values.is_valid()).view(np.uint8).data)
        if self._lengths:
            self._lengths[0].update(_little_endian(compute.fill_null(compute.binary_length(values), 0)).data)
            self._values.update(_text(values))
        elif self.feast_type == "Bool":
            self._values.update(_numpy(compute.fill_null(values, arrow.scalar(False))).view(np.uint8).data)
        elif self.feast_type == "Float64":
            numbers = _numpy(compute.fill_null(values, 0.0))
            self._values.update(np.where(np.isnan(numbers), np.nan, numbers).astype("<f8").data)
        else:
            self._values.update(_little_endian(compute.fill_null(values.cast(arrow.int64()), 0)).data)

    def digests(self) -> list[str]:
        return [stream.hexdigest() for stream in (self._presence, self._values, *self._lengths)]


def _typed(column: arrow.ChunkedArray, name: str, feast_type: str) -> arrow.Array:
    """The column as one array of TYPES[feast_type]. Raises TrainingSetError if that would change a value."""
    actual = column.type.value_type if arrow.types.is_dictionary(column.type) else column.type
    if not (ACCEPTED_TYPES[feast_type](actual) or arrow.types.is_null(actual)):
        raise TrainingSetError(f"Column {name} is of type {actual}, not {feast_type}.")
    try:
        return column.cast(TYPES[feast_type]).combine_chunks()
    except arrow.ArrowInvalid as error:
        raise TrainingSetError(f"Column {name} has a value that {feast_type} cannot hold: {error}") from None


def _numpy(values: arrow.Array) -> NDArray[Any]:
    array: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return array


def _little_endian(values: arrow.Array) -> NDArray[np.int64]:
    return _numpy(values).astype("<i8", copy=False)


def _text(values: arrow.Array) -> memoryview:
    """The bytes of all strings, one after the other; none for a null, whatever its place in the buffer holds."""
    present = values.drop_null() if values.null_count else values
    _, offsets, data = present.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[present.offset : present.offset + len(present) + 1]
    return memoryview(data or b"")[ends[0] : ends[-1]]
