"""Intervals of shares: beside SciPy's exact one, and how often they hold where values of an entity differ together."""

import numpy as np
import pytest
from scipy.stats import binomtest

from asof.errors import DataError
from monitoring.audit.judging.shares import share_interval
from monitoring.audit.reading.sample import parse_share


def test_of_single_values_it_is_that_of_clopper_and_pearson() -> None:
    having = np.array([1] * 7 + [0] * 193)
    low, high = share_interval(having, np.ones(200, dtype=int))
    exact = binomtest(7, 200).proportion_ci(method="exact")
    assert (low, high) == (pytest.approx(exact.low, rel=0.02), pytest.approx(exact.high, rel=0.02))


@pytest.mark.parametrize("share", [0, 1])
def test_where_nothing_or_all_has_it_each_entity_is_one_draw(share: int) -> None:
    values = np.full(50, 17)
    exact = binomtest(share * 50, 50).proportion_ci(method="exact")
    assert share_interval(share * values, values) == pytest.approx((exact.low, exact.high))


def test_it_holds_the_true_share_where_the_values_of_an_entity_go_together() -> None:
    """A twentieth of the entities have all values wrong: that of single values would hold in a third of samples."""
    random, held, naive = np.random.default_rng(0), 0, 0
    for _ in range(400):
        having = np.where(random.random(200) < 0.05, 17, 0)
        low, high = share_interval(having, np.full(200, 17))
        exact = binomtest(int(having.sum()), 200 * 17).proportion_ci(method="exact")
        held += low <= 0.05 <= high
        naive += exact.low <= 0.05 <= exact.high
    assert held / 400 >= 0.94
    assert naive / 400 < 0.5


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.05", 0.05), (" 12.5 %", 0.125), ("100%", 1), ("1", 1)])
def test_a_sample_is_a_share(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["0", "101%", "5", "", "nan", "%", "5%5", "-1%", "inf"])
def test_another_text_is_no_sample(text: str) -> None:
    with pytest.raises(DataError, match="write it as 5%"):
        parse_share(text)
