"""A frame of answers -> a frame of as many bytes without some of them, which may replace it while its file is open."""

import struct
import zlib
from collections.abc import Collection
from typing import Any

import numpy as np
from pydantic_core import to_json

from asof.ledger.reading.kept_answer import ERASED
from asof.ledger.spool.frames import CHALLENGER, LENGTH, NO_MOMENT, NONE, PREFIX, Frame, blocks_of


def without(frame: Frame, places: Collection[int]) -> bytes:
    """The answers at these places lose entity, values, scores and code; all others stay as they are."""
    header, length = dict(frame.header), LENGTH.size + len(to_json(frame.header)) + len(frame.blocks)
    header["entities"] = [None if n in places else each for n, each in enumerate(header["entities"])]
    if len(header["entities"]) == 1:
        return _alone(header, int(blocks_of(frame).items[0]), length)
    if callers := {n: each for n, each in header.pop("callers", {}).items() if int(n) not in places}:
        header["callers"] = callers  # callers may choose an id with the entity in it
    blocks = _emptied(frame, places, header)
    own, problems = {str(n) for n in places}, header.pop("problems", {})
    others = {n: each for n, each in problems.items() if n not in own}
    marked = others | {n: (problems.get(n, (200,))[0], ERASED) for n in own}
    if verdicts := {n: each for n, each in header.pop("verdicts", {}).items() if n not in own}:
        header["verdicts"] = verdicts
    text = to_json(header | {"problems": marked})
    if len(text) > (room := length - LENGTH.size - len(blocks)):  # a mark takes bytes that a short id does not free
        text = to_json(header | ({"problems": others} if others else {}))
    return _framed(text.ljust(room), blocks, length)


def _alone(header: dict[str, Any], item: int, length: int) -> bytes:
    """The frame of a single answer, which needs none of its values."""
    kept = {name: header[name] for name in ("model", CHALLENGER, "at", "requests", "entities") if name in header}
    status = header.get("problems", {}).get("0", (200,))[0]
    kept["shape"], numbers = (1, 0, 0, 0, 0, 0), struct.pack("<2h", item, NONE)
    text = to_json(kept | {"problems": {"0": (status, ERASED)}})
    if len(text) > length - LENGTH.size - len(numbers):  # a shadow score has no values whose room the mark could take
        text = to_json(kept)
    return _framed(text, numbers, length)


def _emptied(frame: Frame, places: Collection[int], header: dict[str, Any]) -> bytes:
    """The blocks without the values of these answers, whose texts go from the header."""
    blocks = blocks_of(frame)
    rows = np.flatnonzero(np.isin(blocks.valued, [*places]))
    floats, integers, moments, scores, decisions = (
        np.array(each) for each in (blocks.floats, blocks.integers, blocks.moments, blocks.scores, blocks.decisions)
    )
    floats[rows], integers[rows], moments[rows] = np.nan, 0, NO_MOMENT
    scores[[*places]], decisions[[*places]] = np.nan, NONE
    if texts := header.get("texts"):
        header["texts"] = [[None] * len(each) if n in rows else each for n, each in enumerate(texts)]
    return b"".join(each.tobytes() for each in (floats, integers, moments, scores, blocks.items, decisions))


def _framed(text: bytes, blocks: bytes, length: int) -> bytes:
    payload = (LENGTH.pack(len(text)) + text + blocks).ljust(length, b"\0")
    return PREFIX.pack(len(payload), zlib.crc32(payload)) + payload
