"""An adaptive limit of the requests that a worker serves at once.

More requests than a worker can answer only wait. So the limit follows their latency: it rises a little with each fast
request and falls by a factor when one is slow (additive increase, multiplicative decrease; Chiu and Jain, Computer
Networks and ISDN Systems 17, 1989).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from asof.errors import Overloaded

SLOW_SECONDS = 0.2
"""A request that takes longer is slow; one that takes less than half of it is fast."""
MIN_LIMIT = 32
"""Not less: a slow store, rather than the worker, must not keep the worker idle."""
RISE, FALL = 0.1, 0.5

AT_CAPACITY = "This worker is at capacity; retry after the given delay."


class ConcurrencyLimit:
    """One for each worker; `maximum` is the upper bound of the limit."""

    def __init__(self, maximum: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._maximum, self._minimum, self._clock = maximum, min(MIN_LIMIT, maximum), clock
        self._limit = float(maximum)
        self._in_flight, self._fell_at = 0, 0.0

    @property
    def limit(self) -> int:
        """The current limit."""
        return int(self._limit)

    @property
    def room(self) -> int:
        """How many more requests may begin; negative after the limit fell."""
        return self.limit - self._in_flight

    @property
    def full(self) -> bool:
        return self.room <= 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """A `with` block for one request. Raises Overloaded where the limit is reached."""
        if self.full:
            raise Overloaded(AT_CAPACITY)
        self._in_flight += 1
        begun = self._clock()
        try:
            yield
        finally:
            self._in_flight -= 1
            self._adapt(begun, self._clock())

    def _adapt(self, begun: float, now: float) -> None:
        """Falls once for all requests that were in flight together."""
        if now - begun < SLOW_SECONDS / 2:
            self._limit = min(self._limit + RISE, self._maximum)
        elif now - begun > SLOW_SECONDS and begun >= self._fell_at:
            self._limit, self._fell_at = max(self._limit * FALL, self._minimum), now
