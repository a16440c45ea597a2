"""Frames of answers -> rows of `ledger.predictions`, in the binary form of PostgreSQL's COPY; and those of a challenger
-> rows of `ledger.shadow_scores`."""

import struct
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from asof.ledger.model_record import FLOATS, INTEGERS
from asof.ledger.spool.frames import CHALLENGER, NO_MOMENT, Blocks, Frame, blocks_of
from online_store.encoding.column_types import OIDS
from online_store.encoding.copy_format import HEADER, NULL, TRAILER, array, length_prefixed, row

COLUMNS = (
    *("at", "request", "model", "target_as_of", "score", "item", "status", "decision", "entity", "code"),
    *("api_key", "caller_id", "verdicts", "scores", "floats", "integers", "texts", "moments"),
)
COPY = f"COPY ledger.predictions ({', '.join(COLUMNS)}) FROM STDIN (FORMAT binary)"
SHADOW_COLUMNS = ("at", "request", "model", "score", "item", "decision", "entity", "code", "scores")
COPY_SHADOW = f"COPY ledger.shadow_scores ({', '.join(SHADOW_COLUMNS)}) FROM STDIN (FORMAT binary)"
POSTGRES_EPOCH = 946_684_800_000_000
"""Of PostgreSQL's timestamps, in microseconds since 1970."""
_SHORT, _LONG, _DOUBLE = (struct.Struct(form) for form in (">ih", ">iq", ">id"))
_LENGTH, _ARRAY = struct.Struct(">i"), struct.Struct(">iiiii")


def copy_rows(frame: Frame) -> bytes:
    """The rows of a frame's answers, without COPY's header and trailer. Raises ValueError where they are not whole."""
    header, blocks = frame.header, blocks_of(frame)
    problems, verdicts = header.get("problems", {}), header.get("verdicts", {})
    at, model, values = _moment(header["at"]), _LONG.pack(8, header["model"]), _values(frame, blocks)
    requests = [length_prefixed(UUID(each).bytes) for each in header["requests"]]
    keys, callers = header.get("keys", {}), header.get("callers", {})
    shared = len(requests) == 1
    rows = []
    for place, entity in enumerate(header["entities"]):
        status, code = problems.get(str(place), (200, None))
        target, floats, integers, texts, moments = values.get(place, NOTHING)
        request = 0 if shared else place
        fields = (
            *(at, requests[request], model, target),
            _score(blocks, place),
            _short(blocks.items[place]),
            _SHORT.pack(2, status),
            _short(blocks.decisions[place]),
            *(_text(entity), _text(code), _text(keys.get(str(request))), _text(callers.get(str(request)))),
            _text(verdicts.get(str(place))),
            _score_array(blocks, place),
            *(floats, integers, texts, moments),
        )
        rows.append(row(len(COLUMNS), fields))
    return b"".join(rows)


def shadow_rows(frame: Frame) -> bytes:
    """The rows of a frame of shadow scores, as `copy_rows`."""
    header, blocks = frame.header, blocks_of(frame)
    at, model, problems = _moment(header["at"]), _LONG.pack(8, header[CHALLENGER]), header.get("problems", {})
    rows = []
    for place, (request, entity) in enumerate(zip(header["requests"], header["entities"], strict=True)):
        _, code = problems.get(str(place), (None, None))
        fields = (
            *(at, length_prefixed(UUID(request).bytes), model, _score(blocks, place), _short(blocks.items[place])),
            *(_short(blocks.decisions[place]), _text(entity), _text(code), _score_array(blocks, place)),
        )
        rows.append(row(len(SHADOW_COLUMNS), fields))
    return b"".join(rows)


def whole(rows: Sequence[bytes]) -> bytes:
    """The content of a COPY."""
    return b"".join((HEADER, *rows, TRAILER))


NOTHING = (NULL,) * 5
"""Target, floats, integers, texts and moments of an answer without values."""


def _values(frame: Frame, blocks: Blocks) -> dict[int, tuple[bytes, ...]]:
    """For each answer with values those five fields."""
    header = frame.header
    nulls = header.get("nulls", {})
    texts = header.get("texts") or [None] * len(blocks.valued)
    columns = zip(
        _number_arrays(blocks.floats, "float8", ">f8", nulls.get(FLOATS, ())),
        _number_arrays(blocks.integers, "int8", ">i8", nulls.get(INTEGERS, ())),
        (NULL if each is None else _array("text", each, _text) for each in texts),
        _moment_fields(blocks.moments),
        strict=True,
    )
    return {
        int(place): (target, floats, integers, text, moments)
        for place, (floats, integers, text, (target, moments)) in zip(blocks.valued, columns, strict=True)
    }


def _number_arrays(matrix: NDArray[Any], pg_type: str, dtype: str, nulls: Sequence[int]) -> list[bytes]:
    """Each row as an array of PostgreSQL; NULL where there is no such feature."""
    count, width = matrix.shape
    if not width:
        return [NULL] * count
    cells = np.zeros((count, width), dtype=[("length", ">i4"), ("value", dtype)])
    cells["length"], cells["value"] = 8, matrix
    size = _ARRAY.size + cells[:1].nbytes
    head = _LENGTH.pack(size) + _ARRAY.pack(1, 0, OIDS[pg_type], width, 1)
    rows = [head + each.tobytes() for each in cells]
    for place in {each // width for each in nulls}:
        absent = {each % width for each in nulls if each // width == place}
        fields = [NULL if number in absent else cells[place, number].tobytes() for number in range(width)]
        rows[place] = _array(pg_type, fields, bytes)
    return rows


def _moment_fields(moments: NDArray[np.int64]) -> list[tuple[bytes, bytes]]:
    """The newest moment of each row; and all of them, NULL where they are the same."""
    count, width = moments.shape
    if not width:
        return [(NULL, NULL)] * count
    newest = moments.max(axis=1)
    same = (moments == newest[:, None]).all(axis=1)
    return [
        (_moment(int(most)), NULL if equal else _array("timestamptz", each, _moment))
        for most, equal, each in zip(newest.tolist(), same.tolist(), moments.tolist(), strict=True)
    ]


def _score(blocks: Blocks, place: int) -> bytes:
    """The field `score`."""
    if blocks.scores.shape[1] != 1 or np.isnan(blocks.scores[place, 0]):
        return NULL
    return _DOUBLE.pack(8, blocks.scores[place, 0])


def _score_array(blocks: Blocks, place: int) -> bytes:
    """The field `scores`."""
    scores = blocks.scores[place].tolist()
    return NULL if len(scores) < 2 or np.isnan(scores[0]) else _array("float8", scores)


def _array(pg_type: str, values: Sequence[Any], encode: Callable[[Any], bytes] | None = None) -> bytes:
    return length_prefixed(array(pg_type, values, encode))


def _moment(microseconds: int) -> bytes:
    return NULL if microseconds == NO_MOMENT else _LONG.pack(8, microseconds - POSTGRES_EPOCH)


def _short(number: int) -> bytes:
    return NULL if number < 0 else _SHORT.pack(2, number)


def _text(text: str | None) -> bytes:
    return NULL if text is None else length_prefixed(text.encode())
