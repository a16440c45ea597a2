"""How many requests a worker takes at once: as many as it answers soon, at most what the settings say.

More requests than a worker can answer do not make it faster, they only wait, all of them. So the number follows the
seconds that a request takes: it rises a little with each quick one and falls by a share when one is slow (additive
increase, multiplicative decrease; Chiu and Jain, Computer Networks and ISDN Systems 17, 1989).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from asof.errors import Overloaded

SOON = 0.2
"""Seconds after which an answer is late."""
FEWEST = 32
"""Never fewer: a store that is slow, and not the worker, must not keep the worker idle."""
RISE, FALL = 0.1, 0.5

TEXT = "This worker has as many requests as it can answer soon: try again."


class Places:
    """One for each worker; `most` is the greatest number of requests at once."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._fewest, self._clock = most, min(FEWEST, most), clock
        self._limit = float(most)
        self._taken, self._fell_at = 0, 0.0

    @property
    def limit(self) -> int:
        """How many there are now."""
        return int(self._limit)

    @property
    def full(self) -> bool:
        return self._taken >= self.limit

    @contextmanager
    def one(self) -> Iterator[None]:
        """A request's place for the time of a block. Raises Overloaded where all are taken."""
        if self.full:
            raise Overloaded(TEXT)
        self._taken += 1
        begun = self._clock()
        try:
            yield
        finally:
            self._taken -= 1
            self._adapt(begun, self._clock())

    def _adapt(self, begun: float, now: float) -> None:
        """Falls once for all the requests that were under way at the same time."""
        if now - begun < SOON / 2:
            self._limit = min(self._limit + RISE, self._most)
        elif now - begun > SOON and begun >= self._fell_at:
            self._limit, self._fell_at = max(self._limit * FALL, self._fewest), now
