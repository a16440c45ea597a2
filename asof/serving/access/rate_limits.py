"""Rate limits of API keys: a token bucket for each key.

A bucket holds `burst` requests and gains `rate` per second. A batch is admitted for one token and charged for its other
instances afterwards; the key is not admitted again before that debt is repaid, so batches do not exceed the rate.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Scope

CHARGE = "charge"
"""The member of a request's state that charges its key for more."""


@dataclass
class _Bucket:
    tokens: float
    updated_at: float


class RateLimiter:
    """One for each worker, with its share of the service's rate."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, max(burst, 1.0), clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, name: str) -> float:
        """Takes a token and returns 0, or returns the seconds until there is one."""
        bucket = self._filled(name)
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._rate
        bucket.tokens -= 1
        return 0.0

    def charge(self, name: str, tokens: int) -> None:
        """Takes tokens, below zero if need be."""
        self._filled(name).tokens -= tokens

    def _filled(self, name: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault(name, _Bucket(self._burst, now))
        bucket.tokens = min(bucket.tokens + (now - bucket.updated_at) * self._rate, self._burst)
        bucket.updated_at = now
        return bucket


def charge(scope: Scope, tokens: int) -> None:
    """Charges the request's key, if there is a rate limit, besides the token of its admission."""
    charge_key: Callable[[int], None] | None = scope["state"].get(CHARGE)
    if charge_key:
        charge_key(tokens)
