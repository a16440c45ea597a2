"""Tail: reads the answers of one use case from the spool while they are appended, each frame once.

A file that is open here can be read to its end, although the shipper may have deleted it.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from asof.ledger.spool.frames import MAX_PAYLOAD, Blocks, BrokenFrame, Frame, blocks_of, frames
from asof.ledger.spool.segments import segment_paths
from asof.ledger.spool.writer import SUFFIX

READ_BYTES = 2**20
"""Read at once of a file, unless a frame is longer."""


@dataclass(frozen=True)
class Kept:
    """A frame of answers, the description of the model that gave them, and the span of the frame in its file."""

    frame: Frame
    describes: Mapping[str, Any]
    segment: str
    start: int

    @cached_property
    def blocks(self) -> Blocks:
        """The arrays of the frame."""
        return blocks_of(self.frame)


@dataclass
class _Open:
    descriptor: int
    place: int = 0
    models: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    ours: bool = True
    """Whether it may have answers of our use case."""


class Tail:
    """`places` are the bytes up to which each file was read before, by name without the suffix."""

    def __init__(self, folder: Path, use_case: str, places: Mapping[str, int]) -> None:
        self._folder, self._use_case = folder, use_case
        self._places, self._files = dict(places), dict[str, _Open]()

    @property
    def places(self) -> dict[str, int]:
        """The bytes up to which the present files were read."""
        return {name: file.place for name, file in self._files.items() if file.ours}

    def read(self) -> list[Kept]:
        """The next answers of each file, oldest file first; a piece of it where there are many."""
        present = {path.stem: path for path in segment_paths(self._folder)}
        for name, path in present.items():
            if name not in self._files:
                with suppress(OSError):  # shipped just now, or another user's
                    self._files[name] = _Open(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        found = []
        for name, file in [*self._files.items()]:
            kept = self._next(name, file)
            found += kept
            if not kept and name not in present:
                os.close(self._files.pop(name).descriptor)
        return found

    def at(self, segment: str, start: int) -> Kept | None:
        """The frame that begins at a byte of a file, if the file is still there."""
        try:
            data = (self._folder / segment).with_suffix(SUFFIX).read_bytes()
        except OSError:
            return None
        every = self._kept(segment, _Open(-1), whole_frames(data, 0))
        return next((kept for kept in every if kept.start == start), None)

    def _next(self, name: str, file: _Open) -> list[Kept]:
        if not file.ours:
            return []
        if not file.place and (place := self._places.pop(name, 0)):
            self._kept(name, file, whole_frames(os.pread(file.descriptor, place, 0), 0))  # for the models
            file.place = place
        return self._kept(name, file, _read(file))

    def _kept(self, name: str, file: _Open, read: Sequence[Frame]) -> list[Kept]:
        """The frames of answers among them. A file of another use case, or of a challenger, has none for us."""
        found = []
        for frame in read:
            start, file.place = file.place, frame.end
            if (model := frame.model) is not None:
                file.models[model["id"]] = model
                file.ours = model["use_case"] == self._use_case
            file.ours = file.ours and frame.challenger is None
            if not file.ours:
                break
            if describes := file.models.get(frame.header.get("model", 0)):
                found.append(Kept(frame, describes, name, start))
        return found


def whole_frames(data: bytes, start: int) -> list[Frame]:
    """The whole frames at the beginning of data from byte `start` on, up to a damaged one."""
    found: list[Frame] = []
    with suppress(BrokenFrame):  # the shipper reports it
        found.extend(frames(data, start))
    return found


def _read(file: _Open) -> list[Frame]:
    """The next whole frames of a file."""
    size = READ_BYTES
    while True:
        data = os.pread(file.descriptor, size, file.place)
        found = whole_frames(data, file.place)
        if found or len(data) < size or size > MAX_PAYLOAD:
            return found
        size *= 4
