"""What bounds a challenger: the breaker, the budget, and an even sample."""

import itertools
from typing import Any

import numpy as np
import pytest

from asof.serving.shadow.limits.breaker import FIRST_PAUSE, LONGEST_PAUSE, MAX_BAD, Breaker
from asof.serving.shadow.limits.budget import BURST_SECONDS, MAX_CALL_ROWS, Budget
from asof.serving.shadow.rows import Rows, sampled


def test_three_bad_calls_in_a_row_open_the_breaker_and_a_good_one_between_does_not() -> None:
    breaker = Breaker()
    for now in range(MAX_BAD - 1):
        breaker.record_bad(now, "fails")
    breaker.record_good()
    for now in range(MAX_BAD):
        assert not breaker.is_open(now)
        breaker.record_bad(now, "fails")
    assert breaker.is_open(MAX_BAD)
    assert breaker.why == "fails"


def test_each_pause_is_twice_as_long_up_to_a_limit_and_a_good_call_forgets_them() -> None:
    breaker, now, lengths = Breaker(), 0.0, []
    breaker.record_bad(now, "its process ended", calls=MAX_BAD)
    for _ in range(8):
        lengths.append(breaker.until - now)
        now = breaker.until
        assert not breaker.is_open(now)
        breaker.record_bad(now, "fails")
    assert lengths == [min(FIRST_PAUSE * 2**n, LONGEST_PAUSE) for n in range(8)]
    breaker.record_good()
    assert breaker == Breaker()


class Machine:
    """A clock and a processor's time that only a test moves."""

    def __init__(self, share: float) -> None:
        self.now = self.spent = 0.0
        self.budget = Budget(share, lambda: self.spent, lambda: self.now)


def test_the_process_uses_its_share_of_a_processor_and_no_more() -> None:
    machine, cost = Machine(0.1), 0.0005
    for _ in range(4000):
        machine.now += 0.25
        rows = machine.budget.rows()
        machine.spent += rows * cost
        if rows:
            machine.budget.record(rows, rows * cost)
    assert machine.spent / machine.now == pytest.approx(0.1, rel=0.05)


def test_unused_time_is_saved_up_for_a_burst_of_seconds_only() -> None:
    machine = Machine(0.5)
    machine.now = 10_000
    machine.budget.record(1, 0.01)
    assert machine.budget.rows() == pytest.approx(0.5 * BURST_SECONDS / 0.01, rel=0.01)


@pytest.mark.parametrize(("seconds", "rows"), [(1.0, 1), (0.0001, MAX_CALL_ROWS), (0.01, 25)])
def test_a_call_has_as_many_rows_as_take_a_quarter_of_a_second(seconds: float, rows: int) -> None:
    machine = Machine(1)
    for _ in range(50):
        machine.budget.record(1, seconds)
    assert machine.budget.call_rows == rows


@pytest.mark.parametrize("most", [0, 1, 7, 99, 100, 1000])
def test_a_sample_is_spread_evenly_and_never_larger(most: int) -> None:
    kept: Any = None
    every = [Rows(kept, np.arange(size)) for size in (10, 0, 80, 10)]
    chosen = sampled(every, most)
    assert sum(map(len, chosen)) == min(most, 100)
    assert all(map(len, chosen))
    if most == 99:
        assert [len(each) for each in chosen] == [9, 80, 10]
    if most == 7:
        (large,) = (each.chosen for each in chosen if len(each) > 1)
        steps = {int(after - before) for before, after in itertools.pairwise(large)}
        assert steps <= {14, 15}
