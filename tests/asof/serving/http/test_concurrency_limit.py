"""How many requests a worker takes at once, by how soon it answers them."""

from contextlib import ExitStack

import pytest

from asof.errors import Overloaded
from asof.serving.http.concurrency_limit import MIN_LIMIT, SLOW_SECONDS, ConcurrencyLimit


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def together(places: ConcurrencyLimit, clock: Clock, count: int, seconds: float) -> None:
    """So many requests at the same time, each of so many seconds."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(places.slot())
        clock.now += seconds


def test_no_more_than_the_settings_say() -> None:
    places = ConcurrencyLimit(2, Clock())
    with places.slot(), places.slot():
        assert places.full
        with pytest.raises(Overloaded, match="try again"), places.slot():
            pass
    with places.slot():
        assert not places.full


def test_late_answers_make_fewer_places_once_for_all_that_were_under_way() -> None:
    clock = Clock()
    places = ConcurrencyLimit(128, clock)
    together(places, clock, 100, 2 * SLOW_SECONDS)
    assert places.limit == 64
    together(places, clock, 60, 2 * SLOW_SECONDS)
    assert places.limit == MIN_LIMIT


def test_a_slow_store_leaves_some_places() -> None:
    clock = Clock()
    places = ConcurrencyLimit(128, clock)
    for _ in range(20):
        together(places, clock, 5, 1.5)
    assert places.limit == MIN_LIMIT
    few = ConcurrencyLimit(4, clock)
    together(few, clock, 4, 1.5)
    assert few.limit == 4


def test_quick_answers_bring_them_back_and_no_more() -> None:
    clock = Clock()
    places = ConcurrencyLimit(128, clock)
    together(places, clock, 100, 2 * SLOW_SECONDS)
    for _ in range(2000):
        together(places, clock, 1, SLOW_SECONDS / 10)
    assert places.limit == 128


def test_a_request_that_fails_gives_its_place_back() -> None:
    places = ConcurrencyLimit(1, Clock())
    with pytest.raises(ZeroDivisionError), places.slot():
        raise ZeroDivisionError
    assert not places.full
