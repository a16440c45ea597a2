"""The files of the spool as the shipper reads them: whole frames from a byte on, and what to do with the rest."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from asof.files import try_lock
from asof.ledger.spool.frames import BrokenFrame, Frame, frames
from asof.ledger.spool.writer import SUFFIX

QUARANTINE = "quarantine"
READ_BYTES = 4 * 2**20
"""Read at once, unless a single frame is longer."""


@dataclass(frozen=True)
class Piece:
    """Whole frames of a file from a byte on; `broken` says why the next one is none."""

    frames: Sequence[Frame]
    broken: str = ""


def segment_paths(folder: Path) -> list[Path]:
    """The files, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def read_piece(path: Path, start: int) -> Piece:
    """The next whole frames. Raises FileNotFoundError."""
    size = READ_BYTES
    while True:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(size)
        whole: list[Frame] = []
        try:
            whole.extend(frames(data, start))
        except BrokenFrame as error:
            return Piece(_before(data, start, error.start), str(error))
        if whole or len(data) < size:
            return Piece(whole)
        size *= 4


def _before(data: bytes, start: int, broken: int) -> list[Frame]:
    return list(frames(data[: broken - start], start))


def is_closed(path: Path) -> bool:
    """Whether no worker writes the file any more: its lock ends with the worker."""
    file = try_lock(path)
    if file is None:
        return False
    with closing(file):
        return True


def quarantine(path: Path) -> Path:
    """Moves a damaged file aside; moved back, it is shipped from where it was left."""
    folder = path.parent / QUARANTINE
    folder.mkdir(mode=0o700, exist_ok=True)
    return path.rename(folder / path.name)


def set_aside(folder: Path) -> list[Path]:
    """The damaged files of a spool, until somebody moves them."""
    return sorted((folder / QUARANTINE).glob(f"*{SUFFIX}"))


def size_of(path: Path) -> int:
    """Bytes; 0 where it is gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
