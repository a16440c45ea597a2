"""Seven faults, each planted where it happens, are named rightly; a clean month has no finding."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from asof.features.feature_contract import FeatureContract
from asof.use_case import Estimator
from monitoring.audit.findings import Finding
from tests.kits.data.extracts import fetch
from tests.kits.data.history import CHURN, History
from tests.kits.data.parity import database_copy, with_value
from tests.kits.models.training import regression
from tests.kits.monitoring.audited import CLOCK, Audited, first, found
from tests.kits.service.serving import write_users
from training.features.datasets.dataset import build_training_set
from training.features.materialisation.materialise import materialise
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.registry.register import register

APRIL, MAY = datetime(2024, 4, 30, tzinfo=UTC), datetime(2024, 5, 31, tzinfo=UTC)
JANUARY, MARCH_10 = datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 3, 10, tzinfo=UTC)


def lenient(contract: FeatureContract, random_state: int) -> Any:
    """One that answers whatever the categories are."""
    model = regression(contract, random_state)
    return model.set_params(columns__categories__handle_unknown="ignore")


QUICK = replace(
    CHURN, model_name="audited", estimators={"default": Estimator("churn_v2", lenient, "a logistic regression")}
)
USERS = 25


@pytest.fixture(scope="module")
def month(history: History) -> Audited:
    """A month that was served, in which nothing went wrong; not to be changed."""
    settings = history.settings.model_copy(update={"clock": CLOCK})
    training_set = build_training_set(settings, QUICK, JANUARY, known_at=MARCH_10)
    version = register(settings, evaluate(settings, train(settings, QUICK, training_set)))
    materialise(settings)
    users = fetch(settings, f"SELECT DISTINCT user_id FROM users WHERE as_of = '{APRIL}' ORDER BY 1 LIMIT {USERS}")
    audited = Audited(settings, QUICK, version, [user for (user,) in users])
    audited.ask()
    return audited


@pytest.fixture
def copy(month: Audited) -> Iterator[Audited]:
    with database_copy(month.settings) as settings:
        yield replace(month, settings=settings)


def test_a_clean_month_has_no_finding(month: Audited) -> None:
    done = month.audit()
    assert found(done) == {}, done.first
    assert (done.answers, done.entities, done.population) == (2 * USERS, USERS, USERS)
    assert done.values == 2 * USERS * 17
    assert done.notes == ()
    leak = next(each for each in done.shares if each.finding is Finding.TRAINING_LEAK)
    assert (leak.values, leak.compared % 17 == 0, leak.compared > 200) == (0, True, True)
    assert (done.errors, done.first, done.not_audited, done.refreshing) == (0, (), {}, 0)


def month_of(history: History, number: int) -> Path:
    return history.folder / f"month_{number:03}"


def test_a_late_row_is_named_with_its_load(copy: Audited, history: History, tmp_path: Path) -> None:
    user, folder = copy.users[3], tmp_path / "corrected"
    copy.deliver(month_of(history, 3), folder, APRIL, usage_agg_30d=with_value(user, "skips_7d", "77"))
    done = copy.audit()
    assert found(done) == {"late-data": 2}
    own = first(done, Finding.LATE_DATA)
    assert (own.entity, own.feature, own.offline, own.view) == (user, "skips_7d", 77, "usage_agg_30d_fv")
    assert own.load is not None
    assert (own.load.folder, own.load.file) == (str(folder), "usage_agg_30d.csv")
    assert own.at < own.load.loaded_at
    assert done.errors == 0


def test_a_whole_month_that_comes_after_the_next_one_is_late_where_the_next_one_has_no_row(
    copy: Audited, history: History, tmp_path: Path
) -> None:
    """Nobody has a row of 15 April but one user, who has none of April's end any more."""
    user = copy.users[5]
    copy.execute("ALTER TABLE payments_agg_90d DISABLE TRIGGER append_only")
    gone = "DELETE FROM payments_agg_90d WHERE user_id = %s AND as_of = %s"
    assert copy.execute(gone, user, APRIL) >= 1
    assert copy.execute(f"DELETE FROM {copy.online_table('failed_payments_90d')} WHERE user_id = %s", user) == 1
    materialise(copy.settings, whole=True)
    copy.ask(user)
    begun = datetime.now(UTC)
    middle = datetime(2024, 4, 15, tzinfo=UTC)
    copy.deliver(
        month_of(history, 3),
        tmp_path / "middle",
        middle,
        payments_agg_90d=with_value(user, "failed_payments_90d", "41"),
    )
    materialise(copy.settings)
    done = copy.audit(until=begun)
    late = [each for each in done.first if each.finding is Finding.LATE_DATA]
    assert [(each.entity, each.offline, each.offline_as_of) for each in late] == [(user, 41, middle)]


def test_the_next_month_makes_nothing_late(copy: Audited, history: History, tmp_path: Path) -> None:
    later = replace(copy, settings=copy.settings.model_copy(update={"clock": datetime(2024, 6, 10, tzinfo=UTC)}))
    later.deliver(
        month_of(history, 3), tmp_path / "may", MAY, subscriptions=with_value(copy.users[0], "monthly_fee", "9")
    )
    assert found(later.audit()) == {}
    materialise(later.settings)
    later.ask(*copy.users[:3])
    done = later.audit()
    assert found(done) == {}
    assert [each.as_of for each in done.windows if len(each.shares) > 1] == [APRIL, MAY]


def test_a_materialisation_that_was_missed_is_named(copy: Audited, history: History, tmp_path: Path) -> None:
    user, folder = copy.users[2], tmp_path / "corrected"
    copy.deliver(month_of(history, 3), folder, APRIL, usage_agg_30d=with_value(user, "skips_7d", "78"))
    copy.ask(user)
    during = copy.audit()
    assert (found(during), during.refreshing) == ({"late-data": 2}, 2), "the answers from before the load are late"
    done = copy.audit(lag=0)
    assert found(done) == {"late-data": 2, "store-behind": 2}
    own = first(done, Finding.STORE_BEHIND)
    assert (own.entity, own.feature, own.offline) == (user, "skips_7d", 78)
    assert own.materialised is not None
    assert own.load is not None
    assert own.load.folder == str(folder)
    assert own.load.load_id > own.materialised.load_id
    assert own.covered is None
    assert f"Load {own.load.load_id} had waited" in own.why
    materialise(copy.settings)
    assert first(copy.audit(lag=0), Finding.STORE_BEHIND).covered is not None
    assert done.errors == 2


def test_a_user_whom_the_store_does_not_know_though_the_snapshots_do_is_behind(copy: Audited) -> None:
    user = copy.users[1]
    for feature in ("skips_7d", "monthly_fee", "failed_payments_90d", "support_tickets_90d", "has_family"):
        assert copy.execute(f"DELETE FROM {copy.online_table(feature)} WHERE user_id = %s", user) == 1
    copy.ask(user, "9999-NOBODY")
    done = copy.audit(lag=0)
    assert found(done) == {"store-behind": 2 * 17}
    own = first(done, Finding.STORE_BEHIND)
    assert (own.entity, own.served, own.served_as_of) == (user, None, None)
    assert "was written by materialisation" in own.why


def test_a_row_from_the_future_is_named(copy: Audited, history: History, tmp_path: Path) -> None:
    """Somebody materialised May with another clock than the service's."""
    copy.deliver(month_of(history, 3), tmp_path / "may", MAY)
    materialise(copy.settings, as_of=datetime(2024, 6, 2, tzinfo=UTC))
    copy.ask(copy.users[0])
    done = copy.audit()
    assert found(done) == {"future-value": 2 * 17}
    own = first(done, Finding.FUTURE_VALUE)
    assert (own.entity, own.served_as_of) == (copy.users[0], MAY)
    assert own.why == "It is as of 2024-05-31, a moment that had not come."


@pytest.mark.parametrize(
    ("feature", "change", "what"),
    [
        ("monthly_fee", "monthly_fee * 100", "unit: it is 100"),
        ("monthly_fee", "monthly_fee::float4", "type: it was rounded to single precision"),
        ("watch_hours_30d", "trunc(watch_hours_30d)", "type: the fraction was cut off"),
        ("monthly_fee", "total_paid", "it is the row's total_paid"),
        ("has_family", "NOT has_family", "the opposite"),
        ("contract_type", "upper(contract_type)", "the case of letters"),
        ("skips_7d", "NULL", "a null was served for a value"),
    ],
)
def test_a_bug_on_the_way_to_the_answer_is_named(copy: Audited, feature: str, change: str, what: str) -> None:
    table = copy.online_table(feature)
    assert copy.execute(f"UPDATE {table} SET {feature} = {change} WHERE user_id = %s", copy.users[0]) == 1
    copy.ask(copy.users[0])
    done = copy.audit()
    assert found(done) == {"serving-bug": 2}
    own = first(done, Finding.SERVING_BUG)
    assert (own.feature, own.entity, own.served_as_of) == (feature, copy.users[0], APRIL)
    assert what in own.why
    assert own.load is not None
    assert done.errors == 2


def test_a_value_that_nobody_had_is_named(copy: Audited) -> None:
    somewhen = datetime(2024, 5, 2, 11, 30, tzinfo=UTC)
    write_users(copy.settings, {copy.users[4]: {"payments_agg_90d_fv": {"failed_payments_90d": 3}}}, somewhen)
    copy.ask(copy.users[4])
    done = copy.audit()
    assert found(done) == {"unknown-value": 2}
    own = first(done, Finding.UNKNOWN_VALUE)
    assert (own.entity, own.served, own.served_as_of) == (copy.users[4], 3, somewhen)
    assert own.why == "payments_agg_90d has no row of this entity of that moment."


def test_a_leak_into_training_is_named(copy: Audited) -> None:
    """The set was built with all that is known now, and says that it is as known at the end of February."""
    claimed = datetime(2024, 2, 29, tzinfo=UTC)
    now = build_training_set(copy.settings, QUICK, JANUARY)
    leaky = replace(now, known_at=claimed)
    version = register(copy.settings, evaluate(copy.settings, train(copy.settings, QUICK, leaky)))
    settings = copy.settings
    then = build_training_set(settings, QUICK, JANUARY, known_at=claimed)
    users = [user for user in now.frame["user_id"] if user in set(then.frame["user_id"])]
    both = now.frame.set_index("user_id").loc[users], then.frame.set_index("user_id").loc[users]
    differs = sum((both[0][name] != both[1][name]).fillna(True).sum() for name in now.contract.names)
    everybody = replace(copy, version=version, users=list(now.frame["user_id"]))
    everybody.ask()
    done = everybody.audit()
    leak = next(each for each in done.shares if each.finding is Finding.TRAINING_LEAK)
    assert set(found(done)) == {"training-leak"}
    assert leak.values >= differs > 20
    own = first(done, Finding.TRAINING_LEAK)
    assert own.version == version.version
    assert own.offline_created_at is None or own.offline_created_at <= claimed
    assert own.load is not None
    assert own.load.known_at > claimed
    assert own.served != own.offline
