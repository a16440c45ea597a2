"""Ranges that together have every entity once, however the sample came out."""

from datetime import UTC, datetime

import pytest

from asof.features.join_keys import Entity
from tests.kits.data.history import CHURN, History, moment
from training.data.snapshots.known_at import KnownTables, tables_known_at
from training.ranges import plan
from training.ranges.plan import Range, cut_points, ranges_between
from training.scoring.reading import users_query


def read(tables: KnownTables, part: Range) -> list[Entity]:
    return [user for (user,) in tables.connection.execute(users_query(CHURN.extract, part)).fetchall()]


def sizes(history: History, size: int) -> list[int]:
    """Of the ranges of a plan, after each is read by its own query; the last is that of all users."""
    moments = {"as_of": moment(history.plan.as_of(3)), "known_at": datetime.now(UTC)}
    with tables_known_at(history.settings, CHURN.extract, **moments) as tables:
        (whole,) = ranges_between([], **moments)
        every = read(tables, whole)
        parts = ranges_between(cut_points(tables, CHURN.extract, **moments, size=size), **moments)
        ranges = [read(tables, part) for part in parts]
    assert [user for users in ranges for user in users] == every
    return [*map(len, ranges), len(every)]


@pytest.mark.parametrize("size", [70, 200, 10_000])
def test_a_small_table_is_cut_exactly(history: History, size: int) -> None:
    *ranges, users = sizes(history, size)
    assert ranges == [min(size, users - begin) for begin in range(0, users, size)]


def test_a_large_table_is_cut_by_a_sample(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SAMPLED_PAGES", 4)
    *ranges, users = sizes(history, 100)
    assert 2 <= len(ranges) <= 20
    assert max(ranges) < users / 2


def test_moments_without_rows_have_one_range(history: History) -> None:
    early = datetime(2000, 1, 1, tzinfo=UTC)
    with tables_known_at(history.settings, CHURN.extract, as_of=early, known_at=early) as tables:
        assert cut_points(tables, CHURN.extract, as_of=early, known_at=early, size=10) == []
