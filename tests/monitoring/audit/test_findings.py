"""Seven faults, each planted where it happens, are named rightly; a clean month has no finding."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitoring.audit.findings import Finding
from tests.kits.data.history import History
from tests.kits.data.parity import with_value
from tests.kits.monitoring.audited import APRIL, JANUARY, MAY, QUICK, USERS, Audited, first, found
from tests.kits.service.serving import write_users
from training.features.datasets.dataset import build_training_set
from training.features.materialisation.materialise import materialise
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.registry.register import register


def test_a_clean_month_has_no_finding(served_month: Audited) -> None:
    done = served_month.audit()
    assert found(done) == {}, done.first
    assert (done.answers, done.entities, done.population) == (2 * USERS, USERS, USERS)
    assert done.values == 2 * USERS * 17
    assert done.notes == ()
    leak = next(each for each in done.shares if each.finding is Finding.TRAINING_LEAK)
    assert (leak.values, leak.compared % 17 == 0, leak.compared > 200) == (0, True, True)
    assert (done.errors, done.first, done.not_audited, done.refreshing) == (0, (), {}, 0)


def month_of(history: History, number: int) -> Path:
    return history.folder / f"month_{number:03}"


def test_a_late_row_is_named_with_its_load(copied: Audited, history: History, tmp_path: Path) -> None:
    user, folder = copied.users[3], tmp_path / "corrected"
    copied.deliver(month_of(history, 3), folder, APRIL, usage_agg_30d=with_value(user, "skips_7d", "77"))
    done = copied.audit()
    assert found(done) == {"late-data": 2}
    own = first(done, Finding.LATE_DATA)
    assert (own.entity, own.feature, own.offline, own.view) == (user, "skips_7d", 77, "usage_agg_30d_fv")
    assert own.load is not None
    assert (own.load.folder, own.load.file) == (str(folder), "usage_agg_30d.csv")
    assert own.at < own.load.loaded_at
    assert done.errors == 0


def test_a_whole_month_that_comes_after_the_next_one_is_late_where_the_next_one_has_no_row(
    copied: Audited, history: History, tmp_path: Path
) -> None:
    """Nobody has a row of 15 April but one user, who has none of April's end any more."""
    user = copied.users[5]
    copied.execute("ALTER TABLE payments_agg_90d DISABLE TRIGGER append_only")
    gone = "DELETE FROM payments_agg_90d WHERE user_id = %s AND as_of = %s"
    assert copied.execute(gone, user, APRIL) >= 1
    assert copied.execute(f"DELETE FROM {copied.online_table('failed_payments_90d')} WHERE user_id = %s", user) == 1
    materialise(copied.settings, whole=True)
    copied.ask(user)
    begun = datetime.now(UTC)
    middle = datetime(2024, 4, 15, tzinfo=UTC)
    copied.deliver(
        month_of(history, 3),
        tmp_path / "middle",
        middle,
        payments_agg_90d=with_value(user, "failed_payments_90d", "41"),
    )
    materialise(copied.settings)
    done = copied.audit(until=begun)
    late = [each for each in done.first if each.finding is Finding.LATE_DATA]
    assert [(each.entity, each.offline, each.offline_as_of) for each in late] == [(user, 41, middle)]


def test_the_next_month_makes_nothing_late(copied: Audited, history: History, tmp_path: Path) -> None:
    later = replace(copied, settings=copied.settings.model_copy(update={"clock": datetime(2024, 6, 10, tzinfo=UTC)}))
    later.deliver(
        month_of(history, 3), tmp_path / "may", MAY, subscriptions=with_value(copied.users[0], "monthly_fee", "9")
    )
    assert found(later.audit()) == {}
    materialise(later.settings)
    later.ask(*copied.users[:3])
    done = later.audit()
    assert found(done) == {}
    assert [each.as_of for each in done.windows if len(each.shares) > 1] == [APRIL, MAY]


def test_a_materialisation_that_was_missed_is_named(copied: Audited, history: History, tmp_path: Path) -> None:
    user, folder = copied.users[2], tmp_path / "corrected"
    copied.deliver(month_of(history, 3), folder, APRIL, usage_agg_30d=with_value(user, "skips_7d", "78"))
    copied.ask(user)
    during = copied.audit()
    assert (found(during), during.refreshing) == ({"late-data": 2}, 2), "the answers from before the load are late"
    done = copied.audit(lag=0)
    assert found(done) == {"late-data": 2, "store-behind": 2}
    own = first(done, Finding.STORE_BEHIND)
    assert (own.entity, own.feature, own.offline) == (user, "skips_7d", 78)
    assert own.materialised is not None
    assert own.load is not None
    assert own.load.folder == str(folder)
    assert own.load.load_id > own.materialised.load_id
    assert own.covered is None
    assert f"Load {own.load.load_id} had waited" in own.why
    materialise(copied.settings)
    assert first(copied.audit(lag=0), Finding.STORE_BEHIND).covered is not None
    assert done.errors == 2


def test_a_user_whom_the_store_does_not_know_though_the_snapshots_do_is_behind(copied: Audited) -> None:
    user = copied.users[1]
    for feature in ("skips_7d", "monthly_fee", "failed_payments_90d", "support_tickets_90d", "has_family"):
        assert copied.execute(f"DELETE FROM {copied.online_table(feature)} WHERE user_id = %s", user) == 1
    copied.ask(user, "9999-NOBODY")
    done = copied.audit(lag=0)
    assert found(done) == {"store-behind": 2 * 17}
    own = first(done, Finding.STORE_BEHIND)
    assert (own.entity, own.served, own.served_as_of) == (user, None, None)
    assert "was written by materialisation" in own.why


def test_a_row_from_the_future_is_named(copied: Audited, history: History, tmp_path: Path) -> None:
    """Somebody materialised May with another clock than the service's."""
    copied.deliver(month_of(history, 3), tmp_path / "may", MAY)
    materialise(copied.settings, as_of=datetime(2024, 6, 2, tzinfo=UTC))
    copied.ask(copied.users[0])
    done = copied.audit()
    assert found(done) == {"future-value": 2 * 17}
    own = first(done, Finding.FUTURE_VALUE)
    assert (own.entity, own.served_as_of) == (copied.users[0], MAY)
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
def test_a_bug_on_the_way_to_the_answer_is_named(copied: Audited, feature: str, change: str, what: str) -> None:
    table = copied.online_table(feature)
    assert copied.execute(f"UPDATE {table} SET {feature} = {change} WHERE user_id = %s", copied.users[0]) == 1
    copied.ask(copied.users[0])
    done = copied.audit()
    assert found(done) == {"serving-bug": 2}
    own = first(done, Finding.SERVING_BUG)
    assert (own.feature, own.entity, own.served_as_of) == (feature, copied.users[0], APRIL)
    assert what in own.why
    assert own.load is not None
    assert done.errors == 2


def test_a_value_that_nobody_had_is_named(copied: Audited) -> None:
    somewhen = datetime(2024, 5, 2, 11, 30, tzinfo=UTC)
    write_users(copied.settings, {copied.users[4]: {"payments_agg_90d_fv": {"failed_payments_90d": 3}}}, somewhen)
    copied.ask(copied.users[4])
    done = copied.audit()
    assert found(done) == {"unknown-value": 2}
    own = first(done, Finding.UNKNOWN_VALUE)
    assert (own.entity, own.served, own.served_as_of) == (copied.users[4], 3, somewhen)
    assert own.why == "payments_agg_90d has no row of this entity of that moment."


def test_a_leak_into_training_is_named(copied: Audited) -> None:
    """The set was built with all that is known now, and says that it is as known at the end of February."""
    claimed = datetime(2024, 2, 29, tzinfo=UTC)
    now = build_training_set(copied.settings, QUICK, JANUARY)
    leaky = replace(now, known_at=claimed)
    version = register(copied.settings, evaluate(copied.settings, train(copied.settings, QUICK, leaky)))
    settings = copied.settings
    then = build_training_set(settings, QUICK, JANUARY, known_at=claimed)
    users = [user for user in now.frame["user_id"] if user in set(then.frame["user_id"])]
    both = now.frame.set_index("user_id").loc[users], then.frame.set_index("user_id").loc[users]
    differs = sum((both[0][name] != both[1][name]).fillna(True).sum() for name in now.contract.names)
    everybody = replace(copied, version=version, users=list(now.frame["user_id"]))
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
