"""Ranges that together have every entity once, however the sample came out."""

from datetime import UTC, datetime

import psycopg
import pyarrow as arrow
import pytest
from psycopg import sql

from asof.features.join_keys import Entity
from asof.settings import Settings
from tests.kits.data.history import CHURN, History, moment
from training.data.snapshots.reading.known_at import KnownTables, tables_known_at
from training.features.datasets.point_in_time import in_order
from training.ranges import plan
from training.ranges.plan import Range, cut_points, ranges_between
from training.scoring.reading import users_query

EARLY = datetime(2000, 1, 1, tzinfo=UTC)


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
    with psycopg.connect(history.settings.conninfo()) as connection:
        connection.execute("ANALYZE users")
    monkeypatch.setattr(plan, "SAMPLED_PAGES", 12)
    *ranges, users = sizes(history, 100)
    assert 2 <= len(ranges) <= 20
    assert max(ranges) < users


def test_moments_without_rows_have_one_range(history: History) -> None:
    with tables_known_at(history.settings, CHURN.extract, as_of=EARLY, known_at=EARLY) as tables:
        assert cut_points(tables, CHURN.extract, as_of=EARLY, known_at=EARLY, size=10) == []


KEYS = ["a", "B", "A", "b", "ä", "Z", "z", "-1", "_x", "é", "10", "9", "aa", "aA"]


def test_ranges_have_every_key_once_in_the_order_of_another_collation(settings: Settings) -> None:
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute('CREATE TEMP TABLE people (key text COLLATE "en-x-icu")')
        connection.cursor().executemany("INSERT INTO people VALUES (%s)", [(key,) for key in KEYS])
        every = [key for (key,) in connection.execute("SELECT key FROM people ORDER BY key").fetchall()]
        ranges = ranges_between(every[2::3], as_of=EARLY, known_at=EARLY)
        read: list[list[str]] = []
        for part in ranges:
            where = sql.SQL(" AND ").join(part.conditions([sql.Identifier("key")]))
            query = sql.SQL("SELECT key FROM people WHERE {} ORDER BY key").format(where)
            read.append([key for (key,) in connection.execute(query)])
    assert [key for keys in read for key in keys] == every != sorted(every)
    parts = [arrow.table({"key": sorted(keys)}) for keys in read]
    assert in_order(parts, ["key"])["key"].to_pylist() == sorted(KEYS)


def test_a_range_of_several_keys_is_limited_by_the_first(settings: Settings) -> None:
    rows = [(first, second) for first in range(4) for second in "abc"]
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute("CREATE TEMP TABLE pairs (first bigint, second text)")
        connection.cursor().executemany("INSERT INTO pairs VALUES (%s, %s)", rows)
        for part in ranges_between([(1, "b"), (2, "a")], as_of=EARLY, known_at=EARLY):
            both = part.conditions([sql.Identifier("first"), sql.Identifier("second")])
            query = "SELECT * FROM pairs WHERE {} ORDER BY first, second"
            own, wide = (
                connection.execute(sql.SQL(query).format(sql.SQL(" AND ").join(each))).fetchall()
                for each in (both, part.first_key_conditions(sql.Identifier("first")))
            )
            low, high = part.low or (0, ""), part.high or (9, "")
            assert own == [row for row in rows if low <= row < high]
            assert set(own) <= set(wide)
            assert {first for first, _ in wide} <= {*range(low[0], high[0] + 1)}
