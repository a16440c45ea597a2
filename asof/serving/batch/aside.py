"""Aside: one thread beside the event loop, for what would hold it up."""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

SWITCH = 0.001
"""Seconds after which the event loop gets the interpreter from the thread. By Python's default, 5 ms, whoever waits for
a prediction waits so long several times over."""


class Aside:
    """One thread, however many batches there are: single predictions need the other processors."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "batch", sys.setswitchinterval, (SWITCH,))

    async def run(self, work: Callable[[], Result]) -> Result:
        """The work's result. Raises whatever it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
