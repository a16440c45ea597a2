"""Ends the process where a call hangs, by the kernel's timers: no Python runs while a library hangs."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

PROCESSOR_SECONDS = 10.0
"""Of a call that should take a quarter of one."""
SECONDS = 120.0
"""Of a call that waits for something: on a busy machine a process of the least priority may stand still for long."""


@contextmanager
def watched(processor: float = PROCESSOR_SECONDS, seconds: float = SECONDS) -> Iterator[None]:
    """The process is ended by a signal where the block takes longer: of a processor, or in all."""
    signal.setitimer(signal.ITIMER_PROF, processor)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
