"""The concurrency limit follows the latency of requests."""

from contextlib import ExitStack

import pytest

from asof.errors import Overloaded
from asof.serving.http.concurrency_limit import MIN_LIMIT, SLOW_SECONDS, ConcurrencyLimit


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def serve(limit: ConcurrencyLimit, clock: Clock, count: int, seconds: float) -> None:
    """`count` concurrent requests of `seconds` each."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(limit.slot())
        clock.now += seconds


def test_a_request_above_the_limit_is_refused() -> None:
    limit = ConcurrencyLimit(2, Clock())
    with limit.slot(), limit.slot():
        assert limit.full
        with pytest.raises(Overloaded, match="retry"), limit.slot():
            pass
    with limit.slot():
        assert not limit.full


def test_slow_requests_lower_the_limit_once_for_all_that_were_in_flight_together() -> None:
    clock = Clock()
    limit = ConcurrencyLimit(128, clock)
    serve(limit, clock, 100, 2 * SLOW_SECONDS)
    assert limit.limit == 64
    serve(limit, clock, 60, 2 * SLOW_SECONDS)
    assert limit.limit == MIN_LIMIT


@pytest.mark.parametrize(("maximum", "minimum"), [(128, MIN_LIMIT), (4, 4)])
def test_a_slow_store_lowers_the_limit_to_its_minimum(maximum: int, minimum: int) -> None:
    clock = Clock()
    limit = ConcurrencyLimit(maximum, clock)
    for _ in range(20):
        serve(limit, clock, 4, 1.5)
    assert limit.limit == minimum


def test_fast_requests_raise_the_limit_to_its_maximum() -> None:
    clock = Clock()
    limit = ConcurrencyLimit(128, clock)
    serve(limit, clock, 100, 2 * SLOW_SECONDS)
    for _ in range(2000):
        serve(limit, clock, 1, SLOW_SECONDS / 10)
    assert limit.limit == 128


def test_a_request_that_fails_releases_its_slot() -> None:
    limit = ConcurrencyLimit(1, Clock())
    with pytest.raises(ZeroDivisionError), limit.slot():
        raise ZeroDivisionError
    assert not limit.full
