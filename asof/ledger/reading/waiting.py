"""Whether an answer still waits in the spool, for a caller that asks for it right after it was given."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from asof.ledger.reading.kept_answer import KeptAnswer
from asof.ledger.spool.frames import Header
from asof.ledger.spool.segments import read_piece, segment_paths

PATIENCE_SECONDS, POLL_SECONDS = 3.0, 0.1


def found_or_shipped(find: Callable[[], Sequence[KeptAnswer]], folder: Path, request_id: str) -> Sequence[KeptAnswer]:
    """What `find` returns, again and again for some seconds while the answer waits in the spool."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not (answers := find()) and waits(folder, request_id) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    return answers or find()


def waits(folder: Path, request_id: str) -> bool:
    """Whether a file of the spool has answers of that request; shipped ones may be among them."""
    own = request_id.rpartition(":")[0] if request_id.rpartition(":")[2].isdecimal() else request_id
    return any(_has(path, {request_id, own} - {""}) for path in segment_paths(folder))


def _has(path: Path, ids: set[str]) -> bool:
    place = 0
    with suppress(OSError):  # shipped just now, or another user's
        while frames := read_piece(path, place).frames:
            if any(frame.challenger is None and not ids.isdisjoint(_ids(frame.header)) for frame in frames):
                return True
            place = frames[-1].end
    return False


def _ids(header: Header) -> list[str]:
    return [*header.get("requests", ()), *header.get("callers", {}).values()]
