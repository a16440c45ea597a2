"""Keeps a shipper running beside the workers, and reports its state as metrics.

Whoever finds the shipper's lock free takes it, and hands it to the process that it starts: there is never a second one.
"""

import asyncio
import fcntl
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

from asof.files import try_lock
from asof.ledger.spool.segments import set_aside
from asof.ledger.spool.shipper import LOCK, STATE, WORKERS, State
from asof.ledger.spool.writer import spool_bytes
from asof.serving.logs.metrics import LedgerMetrics
from asof.settings import PROJECT, SERVER_MARK, Settings

logger = logging.getLogger("asof.serving")

LOOK_SECONDS = 2.0
SILENT_SECONDS = 10.0
"""A shipper that has not reported for so long is not running, or hangs."""


class ShipperProcess:
    """One for each worker. Call `start` and `close` inside the event loop."""

    def __init__(self, settings: Settings) -> None:
        self._folder, self._ships = settings.ledger_folder, settings.ledger_ship
        self._metrics = LedgerMetrics()
        self._process: subprocess.Popen[bytes] | None = None
        self._workers: TextIO | None = None
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._workers = (self._folder / WORKERS).open("a")
        fcntl.flock(self._workers, fcntl.LOCK_SH)  # for as long as this worker lives
        self._looking = asyncio.create_task(self._look())

    def close(self) -> None:
        """The shipper goes on until it has shipped what is there."""
        if self._looking:
            self._looking.cancel()
        if self._workers:
            self._workers.close()

    async def _look(self) -> None:
        while True:
            try:
                if self._ships:
                    self._ensure()
                self._report()
            except OSError as error:  # a full disk, too many processes
                logger.warning("The ledger's shipper cannot be started or watched (%s): trying again.", error)
            await asyncio.sleep(LOOK_SECONDS)

    def _ensure(self) -> None:
        if self._process:
            self._process.poll()  # ends a zombie
        lock = try_lock(self._folder / LOCK)
        if lock is None:
            return
        with lock:
            self._process = _start(lock)

    def _report(self) -> None:
        state = read_state(self._folder)
        if state is None:
            return
        now = time.time()
        silent = now - state.looked_at > SILENT_SECONDS
        waiting = spool_bytes(self._folder) if state.error or silent else state.waiting_bytes
        oldest_at = state.oldest_at or (int(state.looked_at * 1e6) if silent and waiting else None)
        lag = max(now - oldest_at / 1e6, 0) if oldest_at else 0
        self._metrics.shipped.set(state.rows)
        self._metrics.lag.set(lag)
        self._metrics.waiting.set(waiting)
        self._metrics.quarantined.set(len(set_aside(self._folder)))


def read_state(folder: Path) -> State | None:
    """The state of the shipper of a spool; None where there was none."""
    try:
        return State(**json.loads((folder / STATE).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _start(lock: TextIO) -> "subprocess.Popen[bytes]":
    """A process in a session of its own: an interrupt of the service does not reach it.

    It is not marked as the service's, since it goes on while other services use the spool.
    """
    descriptor = lock.fileno()
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    environment = {name: value for name, value in os.environ.items() if name != SERVER_MARK}
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "asof.serving.ledger", "--lock", str(descriptor)],
        env={**environment, "PYTHONPATH": path},
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
