"""Frames: the form of the spool's files. A frame has many answers of one model, what a challenger says of such answers,
or describes a model.

    length, CRC-32 of the payload | length of the header, header in JSON | blocks of numbers, little-endian

The blocks of answers are arrays: floats (valued, f), integers (valued, i), moments (valued, m), scores (n, s), items
(n,) and decisions (n,). `valued` are the answers for which values were read. A single moment is that of all values.
Those of a challenger (`asof.ledger.spool.shadow_frames`) have no values.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

PREFIX = struct.Struct("<II")
LENGTH = struct.Struct("<I")
MAX_PAYLOAD = 64 * 2**20
"""Bytes; a longer one is a damaged length. A thousand answers of a thousand features are 8 MiB."""
NO_MOMENT = -(2**63)
"""The moment of a value that there is none of: NumPy's NaT, in microseconds since 1970."""
NONE = -1
"""The item of an answer that is no batch's, and the decision where there is none."""

CHALLENGER = "challenger"
"""In the header in place of `model`, so that a shipper which knows no shadow scores takes them for no answers."""

Header = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, and the place of the byte after it in its file."""

    header: Header
    blocks: memoryview
    end: int

    @property
    def model(self) -> Header | None:
        """The model that it describes; None in a frame of answers."""
        model: Header | None = self.header.get("describes")
        return model

    @property
    def challenger(self) -> int | None:
        """The id of the model whose shadow scores it has; None in any other frame."""
        challenger: int | None = self.header.get(CHALLENGER)
        return challenger


@dataclass(frozen=True, slots=True)
class Blocks:
    """The arrays of a frame of answers; `valued` are the rows of floats, integers and moments among all answers."""

    floats: NDArray[np.float64]
    integers: NDArray[np.int64]
    moments: NDArray[np.int64]
    scores: NDArray[np.float64]
    items: NDArray[np.int16]
    decisions: NDArray[np.int16]
    valued: NDArray[np.int64]


class BrokenFrame(Exception):
    """The bytes from `start` on are no frame."""

    def __init__(self, start: int, reason: str) -> None:
        self.start = start
        super().__init__(f"{reason} at byte {start}")


def encode(header: Header, *blocks: bytes) -> bytes:
    """The bytes of a frame."""
    text = to_json(header)
    payload = b"".join((LENGTH.pack(len(text)), text, *blocks))
    return PREFIX.pack(len(payload), zlib.crc32(payload)) + payload


def frames(data: bytes, start: int) -> Iterator[Frame]:
    """The whole frames at the beginning of `data`, which is from byte `start` on of a file.

    An incomplete one at the end is left out. Raises BrokenFrame at the first that is damaged.
    """
    view, position = memoryview(data), 0
    while position + PREFIX.size <= len(data):
        length, checksum = PREFIX.unpack_from(data, position)
        if not LENGTH.size < length <= MAX_PAYLOAD:
            raise BrokenFrame(start + position, "No frame has such a length")
        end = position + PREFIX.size + length
        if end > len(data):
            return
        payload = view[position + PREFIX.size : end]
        if zlib.crc32(payload) != checksum:
            raise BrokenFrame(start + position, "The checksum is wrong")
        (head,) = LENGTH.unpack_from(payload)
        header = from_json(bytes(payload[LENGTH.size : LENGTH.size + head]))
        yield Frame(header, payload[LENGTH.size + head :], start + end)
        position = end


def blocks_of(frame: Frame) -> Blocks:
    """The arrays of a frame of answers, whose header has their widths in `shape`."""
    n, valued, *widths = frame.header["shape"]
    counts = (valued, valued, valued, n)
    shapes = zip(("<f8", "<i8", "<i8", "<f8"), counts, widths, strict=True)
    arrays, place = [], 0
    for dtype, rows, width in (*shapes, ("<i2", n, 1), ("<i2", n, 1)):
        count = rows * width
        arrays.append(np.frombuffer(frame.blocks, dtype, count, place).reshape(rows, width))
        place += arrays[-1].nbytes
    rows = frame.header.get("valued")
    numbers = np.arange(valued) if rows is None else np.asarray(rows, dtype=np.int64)
    floats, integers, moments, scores, items, decisions = arrays
    return Blocks(floats, integers, moments, scores, items[:, 0], decisions[:, 0], numbers)
