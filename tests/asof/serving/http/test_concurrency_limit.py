"""How many requests a worker takes at once, by how soon it answers them."""

from contextlib import ExitStack

import pytest

from asof.errors import Overloaded
from asof.serving.http.concurrency_limit import FEWEST, SOON, Places


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def together(places: Places, clock: Clock, count: int, seconds: float) -> None:
    """So many requests at the same time, each of so many seconds."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(places.one())
        clock.now += seconds


def test_no_more_than_the_settings_say() -> None:
    places = Places(2, Clock())
    with places.one(), places.one():
        assert places.full
        with pytest.raises(Overloaded, match="try again"), places.one():
            pass
    with places.one():
        assert not places.full


def test_late_answers_make_fewer_places_once_for_all_that_were_under_way() -> None:
    clock = Clock()
    places = Places(128, clock)
    together(places, clock, 100, 2 * SOON)
    assert places.limit == 64
    together(places, clock, 60, 2 * SOON)
    assert places.limit == FEWEST


def test_a_slow_store_leaves_some_places() -> None:
    clock = Clock()
    places = Places(128, clock)
    for _ in range(20):
        together(places, clock, 5, 1.5)
    assert places.limit == FEWEST
    few = Places(4, clock)
    together(few, clock, 4, 1.5)
    assert few.limit == 4


def test_quick_answers_bring_them_back_and_no_more() -> None:
    clock = Clock()
    places = Places(128, clock)
    together(places, clock, 100, 2 * SOON)
    for _ in range(2000):
        together(places, clock, 1, SOON / 10)
    assert places.limit == 128


def test_a_request_that_fails_gives_its_place_back() -> None:
    places = Places(1, Clock())
    with pytest.raises(ZeroDivisionError), places.one():
        raise ZeroDivisionError
    assert not places.full
