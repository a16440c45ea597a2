"""The spool: a folder of files of frames, one open file for each worker. No queue in memory: what is kept, is written.

A worker holds the lock of its open file, so that `segments.py` can tell which files are finished.
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Protocol

from asof.files import sync
from asof.ledger.request_id import new_request_id

logger = logging.getLogger("asof.serving")

SUFFIX, DRAFT = ".frames", ".draft"
SEGMENT_BYTES = 16 * 2**20
SEGMENT_SECONDS = 300.0
"""A file is closed at this size or age; once shipped, it is deleted."""
MEASURE_SECONDS = 1.0
"""Between two looks at the folder's size."""
FULL, FAILED = "full", "failed"
"""The reasons why an answer is not kept: the spool has its greatest size, or a write failed."""


class Describes(Protocol):
    """A model by its id, and the frame that describes it."""

    @property
    def model(self) -> int: ...

    @property
    def description(self) -> bytes: ...


@dataclass
class _Segment:
    """The open file; frames are written at `end`. `models` are those that it describes."""

    descriptor: int
    opened_at: float
    end: int = 0
    models: set[int] = field(default_factory=set)


class Spool:
    """One for each worker; any thread may call it. `on_lost` is called with the reason and the number of answers."""

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        on_lost: Callable[[str, int], None] = lambda *_: None,
        *,
        durable: bool = False,
    ) -> None:
        """`durable`: `sync` will be called for what is appended."""
        self.folder, self._max_bytes, self._on_lost, self._durable = folder, max_bytes, on_lost, durable
        self._segment: _Segment | None = None
        self._unsynced: set[int] = set()
        self._lock, self._syncing = Lock(), Lock()
        self._others, self._measured_at = 0, 0.0
        self._error_logged = False

    def append(self, encoder: Describes, frame: bytes, count: int = 1) -> bool:
        """Writes a frame of `count` answers; False where it could not be kept."""
        with self._lock:
            try:
                kept = self._append(encoder, frame)
            except OSError as error:
                self._log(error)
                self._on_lost(FAILED, count)
                return False
        if kept:
            self._error_logged = False
        else:
            self._on_lost(FULL, count)
        return kept

    def sync(self) -> bool:
        """Waits until all that was appended before is on the disk; False where that failed."""
        with self._syncing:  # also until what another thread is about to sync is on the disk
            with self._lock:
                waiting, self._unsynced = self._unsynced, set()
                copies = [os.dup(each) for each in waiting]
            try:
                for each in copies:
                    os.fdatasync(each)
            except OSError as error:
                self._log(error)
                return False
            finally:
                for each in copies:
                    os.close(each)
        return True

    def close(self) -> None:
        """Closes the file; the next frame opens another."""
        with self._lock:
            self._close()

    def _append(self, encoder: Describes, frame: bytes) -> bool:
        segment, model = self._current(), encoder.model
        content = frame if model in segment.models else encoder.description + frame
        if self._size(segment) + len(content) > self._max_bytes:
            return False
        written = os.pwrite(segment.descriptor, content, segment.end)
        if written < len(content):  # the disk is full
            os.ftruncate(segment.descriptor, segment.end)
            raise OSError("the disk is full")
        segment.end += written
        segment.models.add(model)
        if self._durable:
            self._unsynced.add(segment.descriptor)
        return True

    def _current(self) -> _Segment:
        now, segment = time.monotonic(), self._segment
        if segment and segment.end < SEGMENT_BYTES and now - segment.opened_at < SEGMENT_SECONDS:
            return segment
        self._close()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._segment = _Segment(self._create(), now)
        return self._segment

    def _create(self) -> int:
        """A new file, which gets its name once we have its lock; the name survives a power cut."""
        path = self.folder / f"{new_request_id()}{SUFFIX}"
        draft = path.with_suffix(DRAFT)
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        draft.rename(path)
        sync(self.folder)
        return descriptor

    def _size(self, segment: _Segment) -> int:
        """Bytes in the folder; those of other files as they were at the last look."""
        now = time.monotonic()
        if now - self._measured_at > MEASURE_SECONDS:
            self._others, self._measured_at = spool_bytes(self.folder) - segment.end, now
        return self._others + segment.end

    def _close(self) -> None:
        if self._segment:
            descriptor, self._segment = self._segment.descriptor, None
            if descriptor in self._unsynced:
                os.fdatasync(descriptor)
                self._unsynced.remove(descriptor)
            os.close(descriptor)

    def _log(self, error: OSError) -> None:
        if not self._error_logged:
            logger.error("Answers are not kept: %s cannot be written (%s).", self.folder, error)
        self._error_logged = True


def spool_bytes(folder: Path) -> int:
    """The size of all files that wait in the spool."""
    total = 0
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # shipped just now
            continue
    return total
