"""The online store against the snapshots: in order, and damaged in every way that we know of."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd
import psycopg
import pytest

from asof.features.feature_store import feature_store, quiet
from asof.settings import Settings
from simulator import simulate
from tests.kits.data import parity as kit
from tests.kits.data.history import CHURN, History, moment
from tests.kits.data.parity import FEATURES, features_with, found
from training.data.snapshots.reading.known_at import tables_known_at
from training.features.datasets.dataset import build_training_set
from training.features.datasets.point_in_time import read_sources
from training.features.materialisation.materialise import materialise
from training.features.parity.check import Parity, check_parity, next_step, summary
from training.features.parity.offline_side import OfflineView, Users, newest_moment
from training.features.parity.verdicts import Verdict, upper_bound

MAY, JUNE, JULY = (moment(date(2024, *day)) for day in ((5, 31), (6, 30), (7, 31)))
PAYMENTS, FAILED = "payments_agg_90d_fv", "failed_payments_90d"
PROFILE = {"user_is_senior", "has_family", "has_dependents"}
USAGE = {"watch_hours_30d", "avg_session_mins_7d", "unique_devices_30d", "skips_7d", "rebuffer_events_7d"}


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """On Feast's own online store: it is its tables that are damaged and locked here."""
    return settings.model_copy(update={"online_store": "postgres"})


@pytest.fixture(scope="module")
def in_order(history: History) -> History:
    """Materialised, and not to be changed."""
    materialise(history.settings)
    return history


@pytest.fixture
def copy(in_order: History) -> Iterator[History]:
    """A copy that a test may damage."""
    with kit.database_copy(in_order.settings) as settings:
        yield replace(in_order, settings=settings)


@pytest.fixture(scope="module")
def april(in_order: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """April as it would be without late rows: what later months are made from."""
    folder = tmp_path_factory.mktemp("whole") / "extracts"
    simulate(replace(in_order.plan, late_share=0, correction_share=0), folder)
    return folder / "month_003"


@pytest.fixture(scope="module")
def user(in_order: History) -> str:
    """A user of whom everything was known in April itself, with support tickets."""
    month = in_order.folder / "month_003"
    known = [set(pd.read_csv(month / f"{table.name}.csv")["user_id"]) for table in CHURN.extract.tables]
    tickets = pd.read_csv(month / "support_agg_90d.csv").query("support_tickets_90d > 0")["user_id"]
    return str(next(user for user in tickets if all(user in each for each in known)))


def check(history: History, **options: object) -> Parity:
    return check_parity(history.settings, CHURN, **options)  # type: ignore[arg-type]


def materialise_by_feast(settings: Settings, until: datetime, views: list[str] | None = None) -> None:
    with feature_store(settings) as store, quiet():
        store.materialize(moment(date(2000, 1, 1)), until, feature_views=views)


def test_a_store_in_order_agrees_in_every_value_of_every_user(in_order: History) -> None:
    parity = check(in_order)
    assert parity.agrees
    assert (parity.users, parity.population, parity.differing_users, parity.differing_at_most) == (400, 400, 0, 0)
    assert {(each.feature, each.verdicts[Verdict.EQUAL]) for each in parity.features} == {
        (each.feature, 400) for each in parity.features
    }
    assert len(parity.features) == FEATURES
    assert parity.as_of == moment(in_order.plan.as_of(3))
    assert (parity.examples, next_step(parity)) == ((), "")
    assert summary(parity).startswith("0 of 7,600 values of 400 users differ, as of 2024-04-30T00:00+00:00")


@pytest.mark.parametrize("month", [0, 1, 2])
def test_an_earlier_moment_agrees_once_it_is_materialised(copy: History, month: int) -> None:
    as_of = moment(copy.plan.as_of(month))
    assert not check(copy, as_of=as_of).agrees
    materialise(copy.settings, as_of=as_of)
    parity = check(copy, as_of=as_of)
    assert parity.agrees
    assert parity.as_of == as_of


MOMENTS = [("2024-01-31", "2024-02-29"), ("2024-02-29", "2024-03-31"), ("2024-03-31", "2024-05-03")]


@pytest.mark.parametrize(("as_of", "known_at"), MOMENTS)
def test_the_offline_side_is_what_a_training_set_is_made_of(in_order: History, as_of: str, known_at: str) -> None:
    days = pd.Timestamp(as_of, tz="UTC").to_pydatetime(), pd.Timestamp(known_at, tz="UTC").to_pydatetime()
    built = build_training_set(in_order.settings, CHURN, days[0], known_at=days[1])
    users, missing = list(built.entities), 0
    _, sources = read_sources(in_order.settings, built.contract.feature_service)
    with tables_known_at(in_order.settings, CHURN.extract, as_of=days[0], known_at=days[1]) as tables:
        assert newest_moment(tables, CHURN.extract) == days[0]
        for source in sources:
            features = [each for each in built.contract.features if each.view == source.view]
            view = OfflineView(tables, source, built.contract.keys, features, days[0])
            for feature, held in zip(features, view.read(users), strict=True):
                expected = [None if pd.isna(value) else value for value in built.frame[feature.name]]
                assert [each.value for each in held] == expected
                assert {each.dtype for each in held if each.value is not None} == {feature.dtype}
                missing += expected.count(None)
    assert missing or as_of != "2024-01-31", "late rows leave gaps: else less would be proved"


def test_a_row_past_its_ttl_that_still_reads_as_present(copy: History, april: Path, tmp_path: Path, user: str) -> None:
    kit.deliver(copy.settings, april, tmp_path / "june", JUNE, usage_agg_30d=kit.without(user))
    materialise(copy.settings)
    parity = check(copy)
    assert features_with(parity, Verdict.PAST_TTL) == dict.fromkeys(USAGE, 1)
    assert found(parity) == {Verdict.PAST_TTL: 5}
    assert not parity.agrees
    assert parity.wrong == 0
    assert {each.entity for each in parity.examples} == {user}
    assert parity.examples[0].online is not None
    assert "the service refuses or flags them" in next_step(parity)


def test_a_row_at_its_ttl_is_not_past_it(copy: History, april: Path, tmp_path: Path, user: str) -> None:
    kit.deliver(
        copy.settings,
        april,
        tmp_path / "mid_june",
        moment(copy.plan.as_of(3)) + timedelta(days=45),
        usage_agg_30d=kit.without(user),
    )
    materialise(copy.settings)
    assert check(copy).agrees


def test_a_late_row(copy: History, april: Path, tmp_path: Path, user: str) -> None:
    kit.deliver(copy.settings, april, tmp_path / "may", MAY, payments_agg_90d=kit.without(user))
    materialise(copy.settings)
    assert check(copy).agrees, "the month before is taken on both sides"
    kit.deliver(copy.settings, april, tmp_path / "may_r1", MAY)
    parity = check(copy)
    assert features_with(parity, Verdict.OLDER_ONLINE) == {FAILED: 1}
    assert found(parity) == {Verdict.OLDER_ONLINE: 1}
    (example,) = parity.examples
    assert (example.entity, example.offline_as_of, example.online_as_of) == (user, MAY, moment(copy.plan.as_of(3)))
    materialise(copy.settings)
    assert check(copy).agrees, "as the next step promises"


def test_a_correction_that_is_not_online_yet(copy: History, april: Path, tmp_path: Path, user: str) -> None:
    kit.deliver(copy.settings, april, tmp_path / "may", MAY)
    materialise(copy.settings)
    kit.deliver(copy.settings, april, tmp_path / "may_r1", MAY, payments_agg_90d=kit.with_value(user, FAILED, "77"))
    parity = check(copy)
    assert found(parity) == {Verdict.UNEQUAL: 1}
    assert parity.examples[0].offline == 77


def test_a_view_that_was_not_materialised_with_the_others(copy: History, april: Path, tmp_path: Path) -> None:
    kit.deliver(copy.settings, april, tmp_path / "may", MAY)
    with feature_store(copy.settings) as store:
        others = [view.name for view in store.list_feature_views() if view.name != PAYMENTS]
    materialise_by_feast(copy.settings, MAY, others)
    parity = check(copy)
    assert set(features_with(parity, Verdict.OLDER_ONLINE)) == {FAILED}
    assert set(found(parity)) <= {Verdict.OLDER_ONLINE, Verdict.ONLY_OFFLINE}
    assert sum(found(parity).values()) == parity.users == parity.differing_users


def test_a_view_that_was_never_materialised(copy: History) -> None:
    with psycopg.connect(copy.settings.conninfo()) as connection:
        connection.execute("TRUNCATE online.asof_users_fv")
    parity = check(copy)
    assert features_with(parity, Verdict.ONLY_OFFLINE) == dict.fromkeys(PROFILE, 400)
    assert found(parity) == {Verdict.ONLY_OFFLINE: 1200}
    materialise(copy.settings, as_of=parity.as_of, whole=True)
    assert check(copy).agrees, "as the next step promises"


def test_a_month_that_was_not_materialised(copy: History, april: Path, tmp_path: Path) -> None:
    kit.deliver(copy.settings, april, tmp_path / "may", MAY)
    parity = check(copy)
    assert set(found(parity)) <= {Verdict.OLDER_ONLINE, Verdict.ONLY_OFFLINE}
    assert sum(found(parity).values()) == FEATURES * parity.users
    assert parity.differing_users == parity.users


def test_a_null_that_reads_as_present(copy: History, april: Path, tmp_path: Path, user: str) -> None:
    kit.deliver(copy.settings, april, tmp_path / "may", MAY)
    materialise(copy.settings)
    empty = kit.with_value(user, "ticket_avg_resolution_hrs_90d", "")
    kit.deliver(copy.settings, april, tmp_path / "may_r1", MAY, support_agg_90d=empty)
    parity = check(copy)
    assert features_with(parity, Verdict.ONLY_ONLINE) == {"ticket_avg_resolution_hrs_90d": 1}
    assert found(parity) == {Verdict.ONLY_ONLINE: 1}
    assert (parity.examples[0].offline, parity.examples[0].offline_type) == (None, None)
    materialise(copy.settings)
    assert check(copy).agrees, "a null on both sides"


@pytest.mark.parametrize(
    ("view", "feature", "value"),
    [(PAYMENTS, FAILED, {}), ("usage_agg_30d_fv", "watch_hours_30d", {"double_val": float("nan")})],
)
def test_a_value_that_reads_as_null(copy: History, user: str, view: str, feature: str, value: dict[str, float]) -> None:
    kit.overwrite(copy.settings, view, feature, user, **value)
    parity = check(copy)
    assert found(parity) == {Verdict.ONLY_OFFLINE: 1}
    assert parity.examples[0].online_as_of == parity.as_of


def test_a_changed_type(copy: History, user: str) -> None:
    before = kit.online_value(copy.settings, PAYMENTS, FAILED, user).int64_val
    kit.overwrite(copy.settings, PAYMENTS, FAILED, user, double_val=float(before))
    parity = check(copy)
    assert found(parity) == {Verdict.OTHER_TYPE: 1}
    (example,) = parity.examples
    assert (example.offline_type, example.online_type) == ("Int64", "Float64")
    assert example.offline == example.online


def test_a_row_of_an_unknown_future(copy: History, user: str) -> None:
    with psycopg.connect(copy.settings.conninfo()) as connection:
        connection.execute(
            "UPDATE online.asof_users_fv SET event_ts = %s WHERE position(%s::bytea IN entity_key) > 0",
            (JULY, user.encode()),
        )
    assert features_with(check(copy), Verdict.NEWER_ONLINE) == dict.fromkeys(PROFILE, 1)


def test_only_the_features_of_the_service_that_is_named(copy: History, user: str) -> None:
    kit.overwrite(copy.settings, "users_fv", "has_family", user)
    assert not check(copy).agrees
    assert check(copy, feature_service="churn_v1").agrees
    assert not check(copy, feature_service="churn_v2").agrees


def test_users_who_have_left_are_not_compared(copy: History) -> None:
    """Their rows stay online for ever, and grow old: a training set of the moment would not have them either."""
    with psycopg.connect(copy.settings.conninfo()) as connection:
        (ever,) = connection.execute("SELECT count(DISTINCT user_id) FROM users").fetchone() or (0,)
        (online,) = connection.execute("SELECT count(DISTINCT entity_key) FROM online.asof_users_fv").fetchone() or (0,)
    assert ever == online > 400
    assert check(copy).population == 400


def test_without_snapshots_nothing_is_compared_and_nothing_agrees(in_order: History) -> None:
    parity = check(in_order, as_of=moment(date(2020, 1, 1)))
    assert (parity.users, parity.differences, parity.agrees, parity.differing_at_most) == (0, 0, False, 1)
    assert "There is no snapshot up to 2020-01-01" in next_step(parity)


def test_the_same_moment_draws_the_same_users(in_order: History) -> None:
    with tables_known_at(in_order.settings, CHURN.extract, as_of=MAY, known_at=JULY) as tables:
        users = Users(tables, CHURN.extract)
        drawn = users.draw(50, "May")
        assert drawn == users.draw(50, "May")
        assert len(set(drawn)) == 50
        assert set(drawn[:20]) == set(users.draw(20, "May")), "a larger sample holds the smaller one"
        assert set(drawn) != set(users.draw(50, "June")), "each month has a sample of its own"
        assert set(users.draw(1000, "May")) == {user for page in users.pages(7) for user in page}


def test_a_sample_has_an_upper_bound(copy: History, april: Path) -> None:
    damaged = [str(user) for user in pd.read_csv(april / "users.csv")["user_id"].head(40)]
    for user in damaged:
        kit.overwrite(copy.settings, "users_fv", "has_family", user)
    whole, drawn = check(copy), check(copy, sample=200)
    assert (whole.differing_users, whole.differing_at_most) == (40, 0.1)
    assert (drawn.users, drawn.population) == (200, 400)
    assert 0 < drawn.differing_users < 40
    assert drawn.differing_at_most == upper_bound(drawn.differing_users, 200)
    assert drawn.differing_users / 200 < drawn.differing_at_most < 1
    assert f"no more than {drawn.differing_at_most:.3%} of 400 users do" in summary(drawn)
    again = check(copy, sample=200)
    assert [each.verdicts for each in again.features] == [each.verdicts for each in drawn.features]


def test_a_sample_as_large_as_the_population_is_the_population(in_order: History) -> None:
    assert check(in_order, sample=400).differing_at_most == 0


def test_nothing_of_a_check_is_left_behind(copy: History) -> None:
    check(copy)
    with psycopg.connect(copy.settings.conninfo()) as connection:
        assert connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'known_at_%'").fetchall() == []
