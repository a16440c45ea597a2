"""The connection pools of one store: one for threads, and one for each event loop.

They belong to the process that made them: after a fork the child makes its own and leaves the parent's alone. The pool
of a closed loop is dropped.
"""

import asyncio
import os
import threading
from typing import Any

from online_store.pool import Address, LoopPool, ThreadPool

_INHERITED: list[Any] = []
"""Pools of a parent process, kept alive: collecting them would end sessions that the parent still uses."""


class Pools:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._threads: dict[Address, ThreadPool] = {}
        self._loops: dict[tuple[Address, asyncio.AbstractEventLoop], LoopPool] = {}

    def for_threads(self, address: Address) -> ThreadPool:
        """The pool for callers that block."""
        with self._lock:
            self._leave_parent()
            if address not in self._threads:
                self._threads[address] = ThreadPool(address)
            return self._threads[address]

    def for_loop(self, address: Address) -> LoopPool:
        """The pool for the running event loop."""
        key = address, asyncio.get_running_loop()
        with self._lock:
            self._leave_parent()
            if key not in self._loops:
                self._drop_closed()
                self._loops[key] = LoopPool(address)
            return self._loops[key]

    def close(self) -> None:
        """Closes the idle connections of threads and those of closed loops."""
        with self._lock:
            self._leave_parent()
            for pool in self._threads.values():
                pool.drop()
            self._drop_closed()

    def close_loop(self) -> None:
        """Closes the connections of the running event loop, those in use when they are put back."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self._leave_parent()
            for key in [key for key in self._loops if key[1] is loop]:
                self._loops.pop(key).close()

    def __del__(self) -> None:
        if self._process == os.getpid():
            for of_threads in self._threads.values():
                of_threads.drop()
            for of_loop in self._loops.values():
                of_loop.drop()

    def _drop_closed(self) -> None:
        for key in [key for key in self._loops if key[1].is_closed()]:
            self._loops.pop(key).drop()

    def _leave_parent(self) -> None:
        if self._process != os.getpid():
            _INHERITED.append((self._threads, self._loops))
            self._process, self._threads, self._loops = os.getpid(), {}, {}
