"""Which failures are tried again, and when."""

import random
from dataclasses import dataclass
from time import monotonic

from asof.client.errors import ClientError, NoAnswer, Problem

BACKOFF = 0.2
"""Seconds before the second attempt where no Retry-After says more; twice as long before each further one."""
JITTER = 0.1
"""The share by which a wait is longer at random, so that clients do not come back together."""


@dataclass(frozen=True)
class Retries:
    """At most so many further attempts, within so many seconds of waiting altogether.

    Tried again is what says when (Retry-After), and a lost connection. Every call may be repeated: predictions change
    nothing, and an outcome that is reported twice is unchanged.
    """

    attempts: int = 3
    seconds: float = 10.0

    def start(self) -> "Attempts":
        return Attempts(self)


class Attempts:
    """Those of one call."""

    def __init__(self, allowed: Retries) -> None:
        self._allowed, self._made, self._until = allowed, 0, monotonic() + allowed.seconds

    def wait_after(self, error: ClientError) -> float:
        """The seconds until the next attempt. Raises the error where there is none."""
        wait = self._wait(error)
        if wait is None or self._made >= self._allowed.attempts or monotonic() + wait > self._until:
            raise error
        self._made += 1
        return wait * (1 + random.random() * JITTER)  # noqa: S311 - no secret

    def _wait(self, error: ClientError) -> float | None:
        if isinstance(error, NoAnswer):
            return float(BACKOFF * 2**self._made)
        return error.retry_after if isinstance(error, Problem) else None
