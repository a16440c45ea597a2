"""CPU seconds and memory of processes and their children."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import psutil

from asof.settings import Settings
from local.embedded_postgres import postgres

MIB = 2**20


@dataclass(frozen=True)
class Memory:
    """In MiB: USS of the largest process, and the sum of PSS, in which shared memory is counted once."""

    worker: float
    whole: float


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time of the processes and their descendants, including children that have ended."""
    times = (process.cpu_times() for process in _tree(roots))
    return float(sum(each.user + each.system + each.children_user + each.children_system for each in times))


def memory(roots: Iterable[int]) -> Memory:
    """The current memory."""
    full = [process.memory_full_info() for process in _tree(roots)]
    return Memory(round(max(each.uss for each in full) / MIB, 1), round(sum(each.pss for each in full) / MIB, 1))


def postgres_roots() -> tuple[int, ...]:
    """The first process of the embedded PostgreSQL, if that is used."""
    pid = postgres.status(Settings()).pid if postgres.is_embedded(Settings()) else None
    return (pid,) if pid else ()


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def _tree(roots: Iterable[int]) -> Iterator[psutil.Process]:
    for root in filter(is_alive, roots):
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(root)
            yield from filter(lambda each: is_alive(each.pid), (first, *first.children(recursive=True)))
