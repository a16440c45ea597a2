"""Rate limits: token buckets that refill with the clock."""

import pytest

from asof.serving.access.rate_limits import CHARGE, RateLimiter, charge


class Clock:
    """A clock that the test advances."""

    now = 50.0

    def __call__(self) -> float:
        return self.now


def taken(rates: RateLimiter, name: str = "crm") -> int:
    """How many requests come in at this moment."""
    count = 0
    while rates.take(name) == 0:
        count += 1
    return count


def test_a_bucket_starts_full_and_refills_at_its_rate_up_to_its_burst() -> None:
    clock = Clock()
    rates = RateLimiter(4, 10, clock)
    assert taken(rates) == 10
    clock.now += 1
    assert taken(rates) == 4
    clock.now += 1000
    assert taken(rates) == 10


def test_a_refusal_returns_the_delay_and_takes_no_token() -> None:
    clock = Clock()
    rates = RateLimiter(4, 1, clock)
    assert taken(rates) == 1
    assert rates.take("crm") == pytest.approx(0.25)
    clock.now += 0.2
    assert rates.take("crm") == pytest.approx(0.05)
    clock.now += 0.0501
    assert rates.take("crm") == 0


def test_keys_have_separate_buckets() -> None:
    rates = RateLimiter(4, 3, Clock())
    assert (taken(rates, "crm"), taken(rates, "ops")) == (3, 3)


def test_the_debt_of_a_batch_is_repaid_before_its_key_is_admitted_again() -> None:
    clock = Clock()
    rates = RateLimiter(10, 20, clock)
    assert rates.take("crm") == 0
    rates.charge("crm", 99)
    assert rates.take("crm") == pytest.approx(8.1)  # 20 - 100 are left, and 1 is needed
    clock.now += 8.1001
    assert taken(rates) == 1


def test_over_a_long_time_a_key_gets_no_more_than_its_rate() -> None:
    clock = Clock()
    rates, count = RateLimiter(3, 6, clock), 0
    for _ in range(1000):
        clock.now += 0.1
        count += taken(rates)
    assert count == pytest.approx(6 + 3 * 100, abs=2)


def test_a_burst_below_one_request_still_admits_one() -> None:
    assert taken(RateLimiter(0.1, 0.2, Clock())) == 1


def test_only_a_request_with_a_rate_limited_key_is_charged() -> None:
    charged: list[int] = []
    charge({"state": {}}, 5)
    charge({"state": {CHARGE: charged.append}}, 5)
    assert charged == [5]
