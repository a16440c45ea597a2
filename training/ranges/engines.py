"""Where ranges are worked on: in this process, in processes of this machine, or (`ray_cluster`) on several machines."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Protocol, TypeVar

from asof.settings import Settings
from training.ranges.plan import Range
from training.ranges.worker import Task, Work, WorkerLost, place_of

Result = TypeVar("Result")


class Engine(Protocol):
    """Works on `workers` ranges at the same time, each call of `perform` in a thread of its own."""

    workers: int

    def perform(self, work: Work[Result], part: Range) -> Result:
        """The result of one range. Raises WorkerLost, and what the work raises."""


@contextmanager
def open_engine(settings: Settings, ranges: int) -> Iterator[Engine]:
    """The engine of the settings; this process for a single range, which no other would finish sooner.

    Raises ConfigurationError where Ray is not installed or its cluster does not answer.
    """
    if settings.engine == "here" or ranges <= 1:
        yield Here(settings)
    elif settings.engine == "processes":
        with opened_processes(settings, min(ranges, processors())) as engine:
            yield engine
    else:
        from training.ranges.ray_cluster import opened_cluster

        with opened_cluster(settings) as engine:
            yield engine


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


class Here:
    """One range after the other in this process."""

    workers = 1

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def perform(self, work: Work[Result], part: Range) -> Result:
        return work(self._settings, part)


class Processes:
    """Each worker is a pool of one process: where it is killed, another takes its place, and one range is lost."""

    def __init__(self, settings: Settings, workers: int) -> None:
        self.workers, self._settings, self._origin = workers, settings, place_of(settings)
        self._idle: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
        for _ in range(workers):
            self._idle.put(_one_process())

    def perform(self, work: Work[Result], part: Range) -> Result:
        process = self._idle.get()
        try:
            return process.submit(Task(work, self._origin), self._settings, part).result()
        except BrokenExecutor as error:
            process = _one_process()
            raise WorkerLost("its process was killed") from error
        finally:
            self._idle.put(process)

    def close(self) -> None:
        """Ends all processes; none is at work any more."""
        for _ in range(self.workers):
            self._idle.get().shutdown()


@contextmanager
def opened_processes(settings: Settings, workers: int) -> Iterator[Processes]:
    """The engine `processes`; its processes end with the block, or with this process."""
    engine = Processes(settings, workers)
    try:
        yield engine
    finally:
        engine.close()


def _one_process() -> ProcessPoolExecutor:
    """Spawned, not forked: threads and connections do not survive a fork."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin_worker)


def _begin_worker() -> None:
    """The parent handles an interrupt of the terminal; where it is killed, nobody else would end its children."""

    def end_with_parent() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
            os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
