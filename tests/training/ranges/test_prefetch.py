"""A generator that is made ahead by a thread of its own: order, errors, and an early end."""

import threading
from collections.abc import Generator
from contextlib import closing

import pytest

from training.ranges.prefetch import ITEMS_AHEAD, prefetch


def test_items_come_in_order_and_from_another_thread() -> None:
    def items() -> Generator[tuple[int, int], None, None]:
        for number in range(20):
            yield number, threading.get_ident()

    made = list(prefetch(items()))
    assert [number for number, _ in made] == list(range(20))
    assert threading.get_ident() not in {thread for _, thread in made}


def test_an_error_is_raised_after_the_items_before_it() -> None:
    def items() -> Generator[int, None, None]:
        yield 1
        raise ArithmeticError("broken")

    made = prefetch(items())
    assert next(made) == 1
    with pytest.raises(ArithmeticError, match="broken"):
        next(made)


def test_no_more_are_made_than_may_wait() -> None:
    reached, begun = threading.Event(), list[int]()

    def items() -> Generator[int, None, None]:
        for number in range(100):
            begun.append(number)
            if number == ITEMS_AHEAD:
                reached.set()
            yield number

    with closing(prefetch(items())) as made:
        next(made)
        assert reached.wait(60)
        assert not threading.Event().wait(0.3)
        assert len(begun) == ITEMS_AHEAD + 1  # one is taken, the others wait


def test_closed_early_the_generator_is_closed_by_its_own_thread_and_waited_for() -> None:
    used: list[int] = []

    def items() -> Generator[int, None, None]:
        try:
            for number in range(100):
                used.append(threading.get_ident())
                yield number
        finally:
            used.append(threading.get_ident())

    made = prefetch(items())
    next(made)
    made.close()
    assert len(used) < 100
    assert len(set(used)) == 1
    assert threading.get_ident() not in used
    assert used[0] not in {thread.ident for thread in threading.enumerate()}
