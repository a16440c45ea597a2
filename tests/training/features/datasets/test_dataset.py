"""Training sets against an oracle in plain pandas: every row and column, as of each month, as known on each day."""

from datetime import date, datetime, timedelta

import pandas as pd
import psycopg
import pytest

from asof.errors import TrainingSetError
from asof.model_facts import Split
from asof.settings import Settings
from tests.kits.data.extracts import add_months
from tests.kits.data.history import CHURN, History, moment
from training.features.datasets.dataset import build_training_set, newest_labelled

TTL = {"users": timedelta(days=400)}
MONTHLY = timedelta(days=45)
TABLES = ("users", "subscriptions", "usage_agg_30d", "payments_agg_90d", "support_agg_90d")
PLANS = ["plan_stream_tv", "plan_stream_movies"]


def rows_of(history: History, table: str) -> pd.DataFrame:
    """Every row of every delivery, with both of its times."""
    frames = [
        pd.read_csv(path).assign(as_of=each.as_of, created_at=each.known_at)
        for each in history.deliveries
        if (path := each.folder / f"{table}.csv").exists()
    ]
    return pd.concat(frames, ignore_index=True)


def newest(rows: pd.DataFrame, as_of: datetime, known_at: datetime, ttl: timedelta) -> pd.DataFrame:
    """For each user the newest row up to `as_of`, no older than `ttl`, in its newest version known at `known_at`."""
    seen = rows[(rows["created_at"] <= known_at) & (rows["as_of"] <= as_of) & (rows["as_of"] >= as_of - ttl)]
    return seen.sort_values(["as_of", "created_at"]).groupby("user_id").tail(1).drop(columns=["as_of", "created_at"])


def oracle(history: History, as_of: datetime, known_at: datetime) -> pd.DataFrame:
    labels = rows_of(history, "labels").query("as_of == @as_of and created_at <= @known_at")
    frame = labels[["user_id", "churn_label"]].drop_duplicates("user_id", keep="last")
    for table in TABLES:
        rows = newest(rows_of(history, table), as_of, known_at, TTL.get(table, MONTHLY))
        frame = frame.merge(rows, on="user_id", how="left")
    for plan in PLANS:
        text = frame[plan].map({True: "yes", False: "no"})
        frame[plan] = text.where(frame["net_service"] != "No", "not applicable")
    return frame.sort_values("user_id", ignore_index=True)


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The same values as Python objects, every missing one as None."""
    return frame.astype(object).where(frame.notna(), None)


MOMENTS = [
    ("2024-01-31", "2024-02-29"),  # late rows are not there yet, and there is no earlier month
    ("2024-01-31", "2024-03-03"),  # they are
    ("2024-02-29", "2024-03-31"),  # not there yet: the month before is taken
    ("2024-02-29", "2024-12-31"),
    ("2024-03-31", "2024-05-02"),
    ("2024-03-31", "2024-05-03"),
]


@pytest.mark.parametrize("service", ["churn_v1", "churn_v2"])
@pytest.mark.parametrize(("as_of", "known_at"), MOMENTS)
def test_every_cell_is_what_was_known(history: History, service: str, as_of: str, known_at: str) -> None:
    days = pd.Timestamp(as_of, tz="UTC").to_pydatetime(), pd.Timestamp(known_at, tz="UTC").to_pydatetime()
    built = build_training_set(history.settings, CHURN, days[0], known_at=days[1], feature_service=service)
    expected = oracle(history, *days)[list(built.frame.columns)]
    assert len(built.frame) == 400
    pd.testing.assert_frame_equal(plain(built.frame), plain(expected))


def test_the_oracle_sees_late_rows_and_corrections(history: History) -> None:
    """Else the test above would prove less than it says."""
    february = moment(history.plan.as_of(1))
    early, late = (oracle(history, february, day) for day in (moment(date(2024, 3, 31)), moment(date(2024, 4, 3))))
    changed = early["watch_hours_30d"] != late["watch_hours_30d"]
    assert 20 < int(changed.sum()) < 200
    january = oracle(history, moment(history.plan.as_of(0)), moment(date(2024, 2, 29)))
    assert 10 < int(january["watch_hours_30d"].isna().sum()) < 100


def test_what_is_loaded_later_does_not_change_what_was_known(history: History) -> None:
    as_of, labelled = moment(history.plan.as_of(0)), moment(history.plan.as_of(1))
    with pytest.raises(TrainingSetError, match="no labels"):
        build_training_set(history.settings, CHURN, as_of, known_at=labelled - timedelta(seconds=1))
    first = build_training_set(history.settings, CHURN, as_of, known_at=labelled)
    again = build_training_set(history.settings, CHURN, as_of, known_at=labelled)
    now = build_training_set(history.settings, CHURN, as_of)
    assert (first.fingerprint, first.rows_digest) == (again.fingerprint, again.rows_digest)
    assert first.rows_digest != now.rows_digest, "late rows and corrections have come since"
    assert first.fingerprint != now.fingerprint


def test_the_same_rows_known_at_another_moment_are_the_same_rows_under_another_fingerprint(history: History) -> None:
    as_of, known_at = moment(history.plan.as_of(0)), moment(date(2024, 12, 31))
    first = build_training_set(history.settings, CHURN, as_of, known_at=known_at)
    later = build_training_set(history.settings, CHURN, as_of, known_at=known_at + timedelta(microseconds=1))
    assert first.rows_digest == later.rows_digest
    assert first.fingerprint != later.fingerprint


def test_what_defines_the_rows_is_reported_without_anything_random(history: History) -> None:
    as_of = moment(history.plan.as_of(0))
    first, again = (build_training_set(history.settings, CHURN, as_of).definition for _ in range(2))
    assert first == again
    assert "known_at_" not in first
    for each in ("CASE WHEN net_service = 'No'", "34560000", "2024-01-31", '"churn_label"'):
        assert each in first


def test_one_changed_cell_changes_the_fingerprint(history: History) -> None:
    as_of = moment(history.plan.as_of(0))
    january = build_training_set(history.settings, CHURN, as_of)
    with psycopg.connect(history.settings.conninfo()) as connection:
        connection.execute(
            "INSERT INTO payments_agg_90d (user_id, as_of, created_at, failed_payments_90d)"
            " SELECT user_id, as_of, now(), failed_payments_90d + 1 FROM payments_agg_90d WHERE as_of = %s"
            " ORDER BY user_id, created_at LIMIT 1",
            (as_of,),
        )
    changed = build_training_set(history.settings, CHURN, as_of)
    as_before = build_training_set(history.settings, CHURN, as_of, known_at=january.known_at)
    assert changed.rows_digest != january.rows_digest
    assert changed.fingerprint != january.fingerprint
    assert (as_before.fingerprint, as_before.rows_digest) == (january.fingerprint, january.rows_digest)


def test_the_newest_labelled_month_is_the_last_but_one(history: History) -> None:
    assert newest_labelled(history.settings, CHURN) == moment(history.plan.as_of(2))


@pytest.mark.parametrize(
    ("as_of", "known_at", "message"),
    [
        ("2024-01-30", None, "no features as of 2024-01-30"),
        ("2024-04-30", None, "no labels as of 2024-04-30"),
        ("2024-02-29", "2024-02-28", "lies before as_of"),
        ("2024-02-29", "2999-01-01", "lies in the future"),
        ("2024-01-31", "2024-01-31", "no labels"),
    ],
)
def test_a_moment_without_a_training_set_is_refused(
    history: History, as_of: str, known_at: str | None, message: str
) -> None:
    known = pd.Timestamp(known_at, tz="UTC").to_pydatetime() if known_at else None
    with pytest.raises(TrainingSetError, match=message):
        build_training_set(history.settings, CHURN, pd.Timestamp(as_of, tz="UTC").to_pydatetime(), known_at=known)


@pytest.mark.parametrize(("months", "label"), [(2, False), (3, True)])
def test_labels_that_were_corrected_down_to_one_class_are_refused_from_then_on(
    history: History, months: int, label: bool
) -> None:
    as_of = moment(history.plan.as_of(0)) - timedelta(days=31 * months)
    days = [as_of + timedelta(days=day) for day in range(3)]
    with psycopg.connect(history.settings.conninfo()) as connection:
        add_months(connection, ["users", "labels"], as_of, as_of)
        connection.execute(
            "INSERT INTO users SELECT DISTINCT ON (user_id) (jsonb_populate_record(u, jsonb_build_object("
            " 'as_of', %s::timestamptz, 'created_at', %s::timestamptz))).* FROM users u ORDER BY user_id",
            (as_of, as_of),
        )
        for known_at, all_equal in zip(days, (False, True, False), strict=True):  # corrected, and back again
            connection.execute(
                "INSERT INTO labels (user_id, as_of, created_at, churn_label) SELECT user_id, as_of, %s,"
                " CASE WHEN %s THEN %s ELSE user_id < '5' END FROM users WHERE as_of = %s",
                (known_at, all_equal, label, as_of),
            )
    first, last = (build_training_set(history.settings, CHURN, as_of, known_at=day) for day in (days[0], days[2]))
    assert 0 < first.labels.mean() < 1
    assert first.rows_digest == last.rows_digest
    message = rf"Every label is {label} as of {as_of.date()}.*, as known at {days[1].date()}.*: a model needs others"
    with pytest.raises(TrainingSetError, match=message):
        build_training_set(history.settings, CHURN, as_of, known_at=days[1])


def test_nothing_is_left_behind_not_even_by_a_killed_run(history: History) -> None:
    with psycopg.connect(history.settings.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA known_at_abandoned CREATE VIEW users AS SELECT 1 AS one")
    build_training_set(history.settings, CHURN, moment(history.plan.as_of(0)))
    assert _left_behind(history.settings) == []


def _left_behind(settings: Settings) -> list[str]:
    with psycopg.connect(settings.conninfo()) as connection:
        rows = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'known_at_%' UNION ALL"
            " SELECT relname FROM pg_class WHERE relname LIKE 'feast_entity_df%'"
        )
        return [name for (name,) in rows]


def test_both_sides_of_the_split_are_the_same_users_in_every_month(history: History) -> None:
    months = [build_training_set(history.settings, CHURN, moment(history.plan.as_of(month))) for month in (0, 2)]
    (train_0, out_0), (train_2, out_2) = ((set(side.entities) for side in each.split(Split(0.25))) for each in months)
    assert not train_0 & out_2
    assert not out_0 & train_2
    assert train_0 & train_2, "months share users"
    assert 0.15 < len(out_0) / 400 < 0.35


def test_only_rows_that_the_service_would_score_are_complete(history: History) -> None:
    as_of, labelled = moment(history.plan.as_of(0)), moment(history.plan.as_of(1))
    built = build_training_set(history.settings, CHURN, as_of, known_at=labelled)
    complete = built.complete()
    assert len(complete.frame) < len(built.frame), "late rows leave gaps"
    assert complete.features.notna().all(axis=None)
    assert len(complete.frame) == int(built.frame.notna().all(axis="columns").sum())
