"""Copies in the ledger's spool: answers that wait for its database, shipped ones whose file is still open, and files
that were set aside.

Frames are replaced by others of as many bytes, since a worker goes on writing its file. While a shipper runs, those
that it may be reading are left to it first.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from asof.errors import ConfigurationError
from asof.files import try_lock
from asof.ledger.spool.frames import BrokenFrame, Frame, frames
from asof.ledger.spool.segments import QUARANTINE, segment_paths
from asof.ledger.spool.shipper import LOCK, SHIPPED
from training.erasure.copies.files.spool_frames import without
from training.erasure.work import Copy, Work

PATIENCE = 60.0
"""Seconds in which a shipper must have shipped what waits."""
POLL_SECONDS = 0.5


def erase(work: Work) -> Iterator[Copy]:
    """Answers in each file. Raises ConfigurationError where a shipper is running and does not ship them in time."""
    folder = work.settings.ledger_folder
    if not folder.is_dir():
        return
    paths = [*segment_paths(folder), *segment_paths(folder / QUARANTINE)]
    own = {path: _own_frames(path, work) for path in paths}
    if not work.apply:
        yield Copy(str(folder), sum(len(places) for each in own.values() for _, places in each))
        return
    with _shippers_lock(folder) as is_ours:
        if not is_ours:
            _wait_until_shipped(work, {path: each[-1][0].end for path, each in own.items() if each})
        yield Copy(str(folder), sum(_replace(path, each) for path, each in own.items()))


@contextmanager
def _shippers_lock(folder: Path) -> Iterator[bool]:
    """Whether no shipper is running; then none starts before the block ends."""
    lock = try_lock(folder / LOCK)
    try:
        yield lock is not None
    finally:
        if lock:
            lock.close()


def _wait_until_shipped(work: Work, ends: dict[Path, int]) -> None:
    """Until each file is shipped up to that byte, or gone."""
    until = time.monotonic() + PATIENCE
    with psycopg.connect(work.settings.ledger_conninfo(), autocommit=True) as connection:
        while waiting := [
            path.name for path, end in ends.items() if path.exists() and _shipped(connection, path) < end
        ]:
            if time.monotonic() > until:
                raise ConfigurationError(
                    f"The shipper has not shipped {', '.join(waiting)} in {PATIENCE:.0f} seconds: see what `doctor` "
                    "says of the ledger, and run the command again."
                )
            time.sleep(POLL_SECONDS)


def _shipped(connection: psycopg.Connection[Any], path: Path) -> float:
    """Up to which byte; a file that was set aside is not read."""
    if path.parent.name == QUARANTINE:
        return math.inf
    row = connection.execute(SHIPPED, [path.stem]).fetchone()
    return row[0] if row else 0


def _own_frames(path: Path, work: Work) -> list[tuple[Frame, list[int]]]:
    """The frames with answers about the subject, and their places. Behind a damaged frame none can be found."""
    models, own = dict[int, str](), list[tuple[Frame, list[int]]]()
    try:
        for frame in frames(path.read_bytes(), 0):
            if model := frame.model:
                models[model["id"]] = model["use_case"]
            elif models.get(frame.challenger or frame.header["model"]) == work.use_case.name and _is_covered(
                frame, work
            ):
                places = [n for n, each in enumerate(frame.header["entities"]) if each and work.subject.is_text(each)]
                own += [(frame, places)] if places else []
    except (BrokenFrame, FileNotFoundError):
        return own
    return own


def _is_covered(frame: Frame, work: Work) -> bool:
    at: int = frame.header["at"]
    return at <= work.until.timestamp() * 1_000_000


def _replace(path: Path, own: list[tuple[Frame, list[int]]]) -> int:
    """How many answers; none where the file was shipped and deleted meanwhile."""
    try:
        with path.open("r+b") as file:
            for frame, places in own:
                content = without(frame, places)
                file.seek(frame.end - len(content))
                file.write(content)
    except FileNotFoundError:
        return 0
    return sum(len(places) for _, places in own)
