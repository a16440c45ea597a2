"""Ranges that together have every entity once, however the sample came out."""

import pytest

from asof.settings import Settings
from tests.kits.models.ranges import AS_OF, CHURN, Crowd, make_crowd
from training.data.snapshots.known_at import KnownTables, tables_known_at
from training.ranges import plan
from training.ranges.plan import cut_points, ranges_between
from training.scoring.reading import users_query


@pytest.fixture(scope="module")
def crowd(settings: Settings) -> Crowd:
    return make_crowd(settings, users=3_000, size=700)


def sizes(tables: KnownTables, crowd: Crowd, size: int) -> list[int]:
    """Of the ranges of a plan; each is read by its own query."""
    moments = {"as_of": AS_OF, "known_at": crowd.known_at}
    ranges = ranges_between(cut_points(tables, CHURN.extract, **moments, size=size), **moments)
    read = [tables.connection.execute(users_query(CHURN.extract, part)).fetchall() for part in ranges]
    users = [user for rows in read for user in rows]
    assert len(users) == len(set(users)) == crowd.users
    return [len(rows) for rows in read]


def test_a_small_table_is_cut_exactly(crowd: Crowd) -> None:
    with tables_known_at(crowd.settings, CHURN.extract, as_of=AS_OF, known_at=crowd.known_at) as tables:
        assert sizes(tables, crowd, 700) == [700, 700, 700, 700, 200]
        assert sizes(tables, crowd, 3_000) == [3_000]
        assert sizes(tables, crowd, 1_500) == [1_500, 1_500]


def test_a_large_table_is_cut_by_a_sample(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SAMPLED_PAGES", 20)
    with tables_known_at(crowd.settings, CHURN.extract, as_of=AS_OF, known_at=crowd.known_at) as tables:
        found = sizes(tables, crowd, 500)
    assert 3 <= len(found) <= 12
    assert max(found) < 1_500


def test_moments_without_rows_have_one_range(crowd: Crowd) -> None:
    early = AS_OF.replace(year=2000)
    with tables_known_at(crowd.settings, CHURN.extract, as_of=early, known_at=early) as tables:
        assert cut_points(tables, CHURN.extract, as_of=early, known_at=early, size=10) == []
