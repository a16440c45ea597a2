"""Keeps the challenger's process running beside the workers, and reports its state as metrics."""

import asyncio
import fcntl
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

from asof.files import try_lock
from asof.serving.logs.metrics import ShadowMetrics
from asof.serving.shadow.state import State, Status, lock_file, read_state, state_file, workers_file
from asof.settings import PROJECT, SERVER_MARK, Settings

logger = logging.getLogger("asof.serving")

LOOK_SECONDS = 2.0
LONGEST_PAUSE = 60.0
"""Before a process that ends again and again is started once more."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Its budget is of one processor."""


class Shadow:
    """One for each worker. Call `start` and `close` inside the event loop.

    `arguments` are those of `python -m asof.serving.shadow` but `--lock`.
    """

    def __init__(self, settings: Settings, model_name: str, arguments: list[str]) -> None:
        self._folder, self._name, self._arguments = settings.ledger_folder, model_name, arguments
        self._metrics = ShadowMetrics()
        self._process: subprocess.Popen[bytes] | None = None
        self._workers: TextIO | None = None
        self._looking: asyncio.Task[None] | None = None
        self._pause, self._not_before = LOOK_SECONDS, 0.0

    @property
    def state(self) -> State | None:
        """What the process wrote down last."""
        return read_state(state_file(self._folder, self._name))

    def start(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._workers = workers_file(self._folder, self._name).open("a")
        fcntl.flock(self._workers, fcntl.LOCK_SH)  # for as long as this worker lives
        self._looking = asyncio.create_task(self._look())

    def close(self) -> None:
        """The process goes on until it has scored what is there."""
        if self._looking:
            self._looking.cancel()
        if self._workers:
            self._workers.close()

    async def _look(self) -> None:
        while True:
            try:
                self._ensure()
                self._report()
            except OSError as error:  # a full disk, too many processes
                logger.warning("The shadow's process cannot be started or watched (%s): trying again.", error)
            await asyncio.sleep(LOOK_SECONDS)

    def _ensure(self) -> None:
        if self._process:
            self._process.poll()  # ends a zombie
        now = time.monotonic()
        if now < self._not_before or (lock := try_lock(lock_file(self._folder, self._name))) is None:
            return
        with lock:
            self._process = _start(lock, self._arguments)
        soon = now - self._not_before < LONGEST_PAUSE
        self._pause = min(2 * self._pause, LONGEST_PAUSE) if soon else LOOK_SECONDS
        self._not_before = now + self._pause

    def _report(self) -> None:
        if state := self.state:
            self._metrics.scores.labels("scored").set(state.scored)
            self._metrics.scores.labels("failed").set(state.failed)
            for reason, count in state.dropped.items():
                self._metrics.dropped.labels(reason).set(count)
            self._metrics.paused.set(state.status == Status.PAUSED)


def _start(lock: TextIO, arguments: list[str]) -> "subprocess.Popen[bytes]":
    """In a session of its own, as the ledger's shipper: it outlives an interrupt of the service."""
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    environment = {name: value for name, value in os.environ.items() if name != SERVER_MARK}
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "asof.serving.shadow", "--lock", str(lock.fileno()), *arguments],
        env={**environment, **ONE_THREAD, "PYTHONPATH": path},
        pass_fds=[lock.fileno()],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def cache_folder(shared: Path) -> Path:
    """Where models of the challenger are, in the folder that the workers share."""
    folder = shared / "shadow"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
