"""How many requests a key may make of this worker: a token bucket for each key.

A bucket holds `burst` requests and fills by `rate` a second. A batch is let in for one, and owes the rest of its
instances: what is owed must have come in before the key is let in again, so no key gets more than its rate by batches.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Scope

CHARGE = "charge"
"""Where in a request's state it stands how its key is charged for more."""


@dataclass
class _Bucket:
    left: float
    at: float


class Rates:
    """One for each worker, with the worker's share of what the service grants a key."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, max(burst, 1.0), clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, name: str) -> float:
        """Takes one request: 0, or else the seconds until there is one, and nothing is taken."""
        bucket = self._filled(name)
        if bucket.left < 1:
            return (1 - bucket.left) / self._rate
        bucket.left -= 1
        return 0.0

    def owe(self, name: str, more: int) -> None:
        """Charges the key for so many more."""
        self._filled(name).left -= more

    def _filled(self, name: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault(name, _Bucket(self._burst, now))
        bucket.left = min(bucket.left + (now - bucket.at) * self._rate, self._burst)
        bucket.at = now
        return bucket


def charge(scope: Scope, more: int) -> None:
    """Charges the request's key, if keys are charged at all, for `more` than the one that it was let in for."""
    owe: Callable[[int], None] | None = scope["state"].get(CHARGE)
    if owe:
        owe(more)
