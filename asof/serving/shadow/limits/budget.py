"""Budget: a share of one processor, and how many rows fit into it."""

import time
from collections.abc import Callable

BURST_SECONDS = 10.0
"""Of unused time that is saved up."""
CALL_SECONDS = 0.25
"""Seconds of a processor that one call should take; a call that takes many times as long hangs."""
MAX_CALL_ROWS = 1000
FIRST_COST = 0.01
"""Seconds of a processor for a row, until it was measured."""


class Budget:
    """`spent` are the seconds of a processor that the process has used; `clock` is monotonic."""

    def __init__(
        self,
        share: float,
        spent: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share, self._spent, self._clock = share, spent, clock
        self._cost = FIRST_COST
        self._credit = share
        self._at, self._before = clock(), spent()

    def rows(self) -> int:
        """How many may be scored now."""
        now, spent = self._clock(), self._spent()
        earned, used = self._share * (now - self._at), spent - self._before
        self._credit = min(self._credit + earned - used, self._share * BURST_SECONDS)
        self._at, self._before = now, spent
        return max(int(self._credit / self._cost), 0)

    def forgive(self) -> None:
        """What was spent since `rows` was asked for does not count: a model was loaded."""
        self._before = self._spent()

    @property
    def call_rows(self) -> int:
        """How many one call should have."""
        return min(max(int(CALL_SECONDS / self._cost), 1), MAX_CALL_ROWS)

    def record(self, rows: int, seconds: float) -> None:
        """What a call took of a processor; later calls count more."""
        self._cost = max(0.7 * self._cost + 0.3 * seconds / rows, 1e-6)
