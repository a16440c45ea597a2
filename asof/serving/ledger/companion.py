"""Companion: a process beside the workers of a service, which they keep running.

Whoever finds its lock free takes it, and hands it to the process that it starts: there is never a second one.
"""

import asyncio
import fcntl
import logging
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TextIO

from asof.files import try_lock
from asof.settings import PROJECT, SERVER_MARK

logger = logging.getLogger("asof.serving")

LOOK_SECONDS = 2.0


class Companion(ABC):
    """One for each worker. Call `start` and `close` inside the event loop.

    A worker holds a lock of the file `workers` for as long as it lives, by which the process knows that there is one.
    `title` names the process in the log.
    """

    def __init__(self, workers: Path, *, title: str) -> None:
        self._workers_file, self._title = workers, title
        self._process: subprocess.Popen[bytes] | None = None
        self._workers: TextIO | None = None
        self._looking: asyncio.Task[None] | None = None

    @abstractmethod
    def look(self) -> None:
        """Starts the process where it must run, and reports its state; called again and again."""

    def start(self) -> None:
        self._workers_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._workers = self._workers_file.open("a")
        fcntl.flock(self._workers, fcntl.LOCK_SH)
        self._looking = asyncio.create_task(self._look())

    def close(self) -> None:
        """The process goes on until it has done what is there."""
        if self._looking:
            self._looking.cancel()
        if self._workers:
            self._workers.close()

    def ensure(self, lock: Path, module: str, *arguments: str, **variables: str) -> bool:
        """Starts the module if nobody holds the lock, which it gets as `--lock DESCRIPTOR`; whether it was started."""
        if self._process:
            self._process.poll()  # ends a zombie
        if (held := try_lock(lock)) is None:
            return False
        with held:
            self._process = _start(held, [module, *arguments], variables)
        return True

    async def _look(self) -> None:
        while True:
            try:
                self.look()
            except OSError as error:  # a full disk, too many processes
                logger.warning("%s cannot be started or watched (%s): trying again.", self._title, error)
            await asyncio.sleep(LOOK_SECONDS)


def _start(lock: TextIO, words: list[str], variables: dict[str, str]) -> "subprocess.Popen[bytes]":
    """A process in a session of its own: an interrupt of the service does not reach it.

    It is not marked as the service's, since it goes on while other services use the spool.
    """
    descriptor = lock.fileno()
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    environment = {name: value for name, value in os.environ.items() if name != SERVER_MARK}
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", words[0], "--lock", str(descriptor), *words[1:]],
        env={**environment, **variables, "PYTHONPATH": path},
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
