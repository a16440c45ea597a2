"""Both strategies of our join compared with Feast's join, and the choice between them by the query plan."""

import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from psycopg import sql

from asof.errors import TrainingSetError
from asof.features.feature_store import feature_store, quiet
from asof.settings import Settings
from tests.kits.data.history import CHURN, History, moment
from tests.kits.machine.databases import fresh
from training.data.snapshots.reading.copy_query import copy_rows
from training.data.snapshots.reading.known_at import tables_known_at
from training.features.datasets.dataset import build_training_set
from training.features.datasets.point_in_time import PLANNER_SETTINGS, chosen_strategy, joined_rows
from training.features.datasets.point_in_time_sql import JoinStrategy, ViewSource, join
from training.features.datasets.rows_digest import TYPES
from training.features.datasets.training_set import frame_of
from training.ranges.query_plan import uses_key_index

EXTRACT = CHURN.extract
MOMENTS = [("2024-01-31", "2024-02-29"), ("2024-02-29", "2024-03-31"), ("2024-03-31", "2024-05-03")]
JANUARY = datetime(2024, 1, 31, tzinfo=UTC)


def feasts_own(history: History, as_of: datetime, *, known_at: datetime, service: str) -> pd.DataFrame:
    """Feast's get_historical_features for the same entities, in the same schema of what was known."""
    labelled = (
        f"SELECT DISTINCT ON (user_id) user_id, as_of AS event_timestamp, churn_label FROM labels"
        f" WHERE as_of = '{as_of.isoformat()}' ORDER BY user_id, created_at DESC"
    )
    with (
        tables_known_at(history.settings, EXTRACT, as_of=as_of, known_at=known_at) as tables,
        feature_store(history.settings) as store,
        quiet(),
    ):
        offline = store.config.offline_store
        offline.db_schema = offline.db_schema.replace("search_path=public", f"search_path={tables.schema}")
        frame: pd.DataFrame = store.get_historical_features(labelled, store.get_feature_service(service)).to_df()
        return frame


@pytest.fixture(params=list(JoinStrategy))
def strategy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> JoinStrategy:
    """Each strategy, whichever the plan would have chosen."""
    chosen: JoinStrategy = request.param
    monkeypatch.setattr("training.features.datasets.point_in_time.chosen_strategy", lambda *_: chosen)
    return chosen


@pytest.mark.parametrize("service", ["churn_v1", "churn_v2"])
@pytest.mark.parametrize(("as_of", "known_at"), MOMENTS)
def test_every_strategy_gives_what_feasts_own_join_gives(
    history: History, strategy: JoinStrategy, service: str, as_of: str, known_at: str
) -> None:
    described, known = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (as_of, known_at))
    joined = joined_rows(history.settings, EXTRACT, described, known_at=known, feature_service=service)
    ours = frame_of(joined.rows, joined.contract, "churn_label")
    theirs = feasts_own(history, described, known_at=known, service=service).sort_values("user_id", ignore_index=True)
    assert len(ours) == 400
    pd.testing.assert_frame_equal(ours, theirs[ours.columns].astype(ours.dtypes))


def test_all_strategies_give_one_set_under_one_fingerprint(history: History, strategy: JoinStrategy) -> None:
    built = build_training_set(history.settings, CHURN, JANUARY, known_at=moment(history.plan.as_of(3)))
    known = build_training_set(history.settings, CHURN, JANUARY, known_at=moment(history.plan.as_of(3)))
    assert built.fingerprint == known.fingerprint
    assert "LATERAL" in built.definition, "one text defines the rows, whichever strategy fetched them"


def test_feasts_historical_reads_never_join_by_nested_loops(history: History) -> None:
    from feast.infra.utils.postgres.connection_utils import _get_conn

    with feature_store(history.settings) as store, _get_conn(store.config.offline_store) as connection:
        rows = [connection.execute(f"SHOW {name}").fetchone() for name in ("enable_nestloop", "search_path")]
    assert rows == [("off",), ("public,public",)]


SOURCE = ViewSource(
    "loose_fv", "loose", keys={"user_id": "user_id"}, time="as_of", created="created_at", ttl=0, columns={"x": "x"}
)


@pytest.fixture
def loose(history: History) -> Iterator[psycopg.Connection[Any]]:
    """A table of thirty thousand rows, not analysed and without an index; gone afterwards."""
    with psycopg.connect(history.settings.conninfo()) as connection:
        for name, value in PLANNER_SETTINGS[JoinStrategy.INDEX_LOOKUP].items():
            connection.execute("SELECT set_config(%s, %s, true)", (name, value))
        connection.execute(
            "CREATE TABLE loose AS SELECT coalesce(user_id, n::text) AS user_id, %s::timestamptz AS as_of,"
            " %s::timestamptz AS created_at, n::float8 AS x FROM generate_series(1, 30000) AS n"
            " LEFT JOIN (SELECT DISTINCT ON (user_id) user_id, row_number() OVER () AS place FROM labels) AS known"
            " ON known.place = n",
            (JANUARY, JANUARY),
        )
        yield connection
        connection.rollback()


def query(strategy: JoinStrategy = JoinStrategy.INDEX_LOOKUP, *, ttl: int = 0) -> sql.Composed:
    return join((replace(SOURCE, ttl=ttl),), EXTRACT, JANUARY, strategy)


def rows(connection: psycopg.Connection[Any], asked: sql.Composed) -> dict[str, tuple[float | None, bool]]:
    types = {"user_id": TYPES["String"], "x": TYPES["Float64"], "churn_label": TYPES["Bool"]}
    found = [row for each in copy_rows(connection, asked, types) for row in each.to_pylist()]
    return {row["user_id"]: (row["x"], row["churn_label"]) for row in found}


def test_a_source_without_an_index_is_not_read_once_for_each_entity(loose: psycopg.Connection[Any]) -> None:
    assert not uses_key_index(loose, query())
    loose.execute("CREATE INDEX ON loose (user_id, as_of, created_at)")
    assert uses_key_index(loose, query()), "also before PostgreSQL has looked at the table"
    loose.execute("ANALYZE loose")
    assert uses_key_index(loose, query())


def test_a_long_history_is_still_looked_up(loose: psycopg.Connection[Any]) -> None:
    """An entity's newest row is one step into the index, however many lie behind it."""
    loose.execute("DELETE FROM loose WHERE x > 2000")
    loose.execute(
        "INSERT INTO loose SELECT user_id, as_of - month * interval '30 days', created_at, x"
        " FROM loose, generate_series(1, 39) AS month"
    )
    loose.execute("CREATE INDEX ON loose (user_id, as_of, created_at)")
    loose.execute("ANALYZE loose")
    assert uses_key_index(loose, query())


def test_an_index_that_only_gives_the_order_is_no_help(loose: psycopg.Connection[Any]) -> None:
    loose.execute("CREATE INDEX ON loose (as_of, created_at)")
    assert not uses_key_index(loose, query())
    loose.execute("ANALYZE loose")
    assert not uses_key_index(loose, query())


@pytest.mark.parametrize("strategy", [JoinStrategy.INDEX_LOOKUP, JoinStrategy.MOMENT_JOIN])
def test_all_strategies_find_the_same_in_any_source(loose: psycopg.Connection[Any], strategy: JoinStrategy) -> None:
    """Two in three users have a row of the moment; some have several, some have nulls."""
    loose.execute("UPDATE loose SET as_of = as_of - interval '1 day' WHERE x::int % 3 = 2")
    loose.execute("INSERT INTO loose SELECT user_id, as_of, created_at + interval '1 h', -x FROM loose WHERE x < 900")
    loose.execute("INSERT INTO loose SELECT user_id, as_of - interval '9 d', created_at, 0 FROM loose")
    loose.execute("UPDATE loose SET x = NULL WHERE x::int % 7 = 0 AND x <> 0")
    by_set = rows(loose, query(JoinStrategy.SET_JOIN))
    loose.execute("CREATE INDEX ON loose (user_id, as_of, created_at)")
    by_key = rows(loose, query(strategy))
    assert by_key == by_set
    assert len({x for x, _ in by_key.values()} - {None}) > 300


def test_the_rows_of_the_moment_are_joined_where_most_entities_have_one(history: History) -> None:
    """Else the few entities of a sample would be joined to the rows of all."""
    known = moment(history.plan.as_of(3))
    for sample, expected in ((1.0, JoinStrategy.MOMENT_JOIN), (0.01, JoinStrategy.INDEX_LOOKUP)):
        extract = replace(EXTRACT, sample=sample)
        source = ViewSource(
            "u", "users", {"user_id": "user_id"}, "as_of", "created_at", 0, {"has_family": "has_family"}
        )
        queries = {each: join((source,), extract, JANUARY, each) for each in JoinStrategy}
        with tables_known_at(history.settings, extract, as_of=JANUARY, known_at=known) as tables:
            tables.connection.execute("ANALYZE public.users, public.labels")
            assert chosen_strategy(tables, queries) is expected


@pytest.mark.parametrize("strategy", list(JoinStrategy))
def test_a_value_is_taken_up_to_its_ttl_and_not_a_second_longer(
    loose: psycopg.Connection[Any], strategy: JoinStrategy
) -> None:
    loose.execute("UPDATE loose SET as_of = as_of - interval '10 days'")
    loose.execute("CREATE INDEX ON loose (user_id, as_of, created_at)")
    assert len({x for x, _ in rows(loose, query(strategy, ttl=864_000)).values()} - {None}) > 300
    assert {x for x, _ in rows(loose, query(strategy, ttl=863_999)).values()} == {None}


def test_the_newest_version_of_a_label_counts(loose: psycopg.Connection[Any]) -> None:
    loose.execute("CREATE INDEX ON loose (user_id, as_of, created_at)")
    before = rows(loose, query())
    loose.execute(
        "INSERT INTO labels (user_id, as_of, created_at, churn_label)"
        " SELECT DISTINCT ON (user_id) user_id, as_of, now(), NOT churn_label FROM labels WHERE as_of = %s"
        " ORDER BY user_id, created_at DESC",
        (JANUARY,),
    )
    assert rows(loose, query()) == {user: (x, not label) for user, (x, label) in before.items()}


def test_nulls_empty_texts_and_odd_characters_arrive_as_they_are(history: History) -> None:
    values = [None, "", "null", "NaN", "\\N", 'a "quoted", one', "two\nlines\r\n", "\u00e4\U0001f600", " x "]
    numbers = [None, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, float("inf"), float("-inf"), 2.0**53 + 2, 1e-7]
    with psycopg.connect(history.settings.conninfo()) as connection:
        connection.execute("CREATE TEMP TABLE odd (n bigint, t text, f float8, b boolean)")
        for number, (text, value) in enumerate(zip(values, numbers, strict=True)):
            flag = [None, True, False][number % 3]
            connection.execute("INSERT INTO odd VALUES (%s, %s, %s, %s)", (2**62 + number, text, value, flag))
        types = {"n": TYPES["Int64"], "t": TYPES["String"], "f": TYPES["Float64"], "b": TYPES["Bool"]}
        (rows,) = copy_rows(connection, sql.SQL("SELECT * FROM odd ORDER BY n"), types)
    assert rows["n"].to_pylist() == [2**62 + number for number in range(9)]
    assert rows["t"].to_pylist() == values
    assert [repr(value) for value in rows["f"].to_pylist()] == [repr(value) for value in numbers]
    assert rows["b"].to_pylist() == [None, True, False] * 3


def test_a_column_that_is_not_of_its_views_type_is_reported(history: History) -> None:
    with (
        psycopg.connect(history.settings.conninfo()) as connection,
        pytest.raises(TrainingSetError, match="not of the type declared by its view"),
    ):
        list(copy_rows(connection, sql.SQL("SELECT 1.5::float8"), {"n": TYPES["Int64"]}))


def test_a_long_result_comes_in_chunks(history: History) -> None:
    """Ninety megabytes, of which none of the tables holds more than nine."""
    with psycopg.connect(history.settings.conninfo()) as connection:
        long = sql.SQL("SELECT repeat('x', 900) FROM generate_series(1, 100000)")
        sizes = [(each.num_rows, each.nbytes) for each in copy_rows(connection, long, {"t": TYPES["String"]})]
    assert sum(rows for rows, _ in sizes) == 100_000
    assert len(sizes) > 9
    assert max(size for _, size in sizes) < 9.5e6


@pytest.mark.parametrize("there", [[], ["users"]])
def test_a_database_without_the_tables_is_named_with_the_next_step(
    server: Settings, tmp_path: Path, there: list[str]
) -> None:
    """A model's registry may be kept where its snapshots are not."""
    with fresh(server, tmp_path) as settings:
        with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
            for table in there:
                connection.execute(f"CREATE TABLE {table} (as_of timestamptz, created_at timestamptz)")
        with (
            pytest.raises(TrainingSetError, match=r"has no table public\.\w+: load .*flows ingest"),
            tables_known_at(settings, EXTRACT, as_of=JANUARY, known_at=JANUARY),
        ):
            pass
        with psycopg.connect(settings.conninfo()) as connection:
            left = connection.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'known%'").fetchone()
        assert left == (0,)


def test_an_interruption_amid_a_read_is_not_hidden_by_the_schema_that_it_leaves(history: History) -> None:
    """The schema is dropped by the next caller."""

    def read() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        for _ in copy_rows(tables.connection, query, {"n": TYPES["Int64"]}):
            pass

    before = signal.signal(signal.SIGALRM, lambda *_: sys.exit(143))
    moments = {"as_of": JANUARY, "known_at": JANUARY}
    query = sql.SQL("SELECT n FROM generate_series(1, 9000000) n")
    with pytest.raises(SystemExit, match="143"), tables_known_at(history.settings, EXTRACT, **moments) as tables:
        read()
    signal.signal(signal.SIGALRM, before)
    with tables_known_at(history.settings, EXTRACT, **moments) as tables:
        count = "SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, 'known_at_')"
        assert tables.connection.execute(count).fetchone() == (1,)
