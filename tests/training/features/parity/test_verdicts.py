"""The verdict on one value, and how far a sample reaches."""

from datetime import UTC, datetime, timedelta

import pytest
from scipy.stats import binom

from training.features.parity.verdicts import StoredValue, Verdict, judge, upper_bound

MARCH = datetime(2024, 3, 31, tzinfo=UTC)
FEBRUARY = datetime(2024, 2, 29, tzinfo=UTC)
JANUARY = datetime(2024, 1, 31, tzinfo=UTC)
OLDEST = MARCH - timedelta(days=45)

NOTHING = StoredValue()
THREE, FOUR = StoredValue(MARCH, 3, "Int64"), StoredValue(MARCH, 4, "Int64")
NULL = StoredValue(MARCH)


@pytest.mark.parametrize(
    ("offline", "online", "expected"),
    [
        (THREE, THREE, Verdict.EQUAL),
        (NULL, NULL, Verdict.EQUAL),
        (NOTHING, NOTHING, Verdict.EQUAL),
        (THREE, FOUR, Verdict.UNEQUAL),
        (THREE, StoredValue(MARCH, 3.0, "Float64"), Verdict.OTHER_TYPE),
        (StoredValue(MARCH, True, "Bool"), StoredValue(MARCH, 1, "Int64"), Verdict.OTHER_TYPE),
        (THREE, NOTHING, Verdict.ONLY_OFFLINE),
        (THREE, NULL, Verdict.ONLY_OFFLINE),
        (NULL, NOTHING, Verdict.ONLY_OFFLINE),
        (NULL, THREE, Verdict.ONLY_ONLINE),
        (NOTHING, THREE, Verdict.ONLY_ONLINE),
        (NOTHING, NULL, Verdict.ONLY_ONLINE),
        (THREE, StoredValue(FEBRUARY, 3, "Int64"), Verdict.OLDER_ONLINE),
        (THREE, StoredValue(JANUARY, 3, "Int64"), Verdict.OLDER_ONLINE),
        (StoredValue(FEBRUARY, 3, "Int64"), THREE, Verdict.NEWER_ONLINE),
        (StoredValue(JANUARY, 3, "Int64"), StoredValue(JANUARY, 3, "Int64"), Verdict.PAST_TTL),
        (NOTHING, StoredValue(JANUARY, 3, "Int64"), Verdict.PAST_TTL),
        (StoredValue(JANUARY, 3, "Int64"), NOTHING, Verdict.EQUAL),
        (StoredValue(JANUARY, 3, "Int64"), THREE, Verdict.ONLY_ONLINE),
        (StoredValue(OLDEST, 3, "Int64"), StoredValue(OLDEST, 3, "Int64"), Verdict.EQUAL),
    ],
)
def test_each_pair_has_its_verdict(offline: StoredValue, online: StoredValue, expected: Verdict) -> None:
    assert judge(offline, online, OLDEST) is expected


def test_a_view_without_a_ttl_knows_no_age() -> None:
    old = StoredValue(JANUARY, 3, "Int64")
    assert judge(old, old, None) is Verdict.EQUAL


@pytest.mark.parametrize(("differing", "users"), [(0, 100), (1, 100), (7, 2000), (99, 100)])
def test_at_the_bound_so_few_are_seen_in_one_of_twenty_samples(differing: int, users: int) -> None:
    assert binom.cdf(differing, users, upper_bound(differing, users)) == pytest.approx(0.05)


def test_where_none_differs_the_bound_is_about_three_in_the_users() -> None:
    assert upper_bound(0, 20_000) == pytest.approx(3 / 20_000, rel=0.01)
    assert upper_bound(0, 20_000) < 3 / 20_000


def test_without_users_or_where_all_differ_there_is_no_bound() -> None:
    assert upper_bound(50, 50) == 1
    assert upper_bound(0, 0) == 1
