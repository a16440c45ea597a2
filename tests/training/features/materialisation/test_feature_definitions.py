"""What a feature means is part of the contract: a change stops the answers of models that know it otherwise."""

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from feast import Entity, FeatureStore, Field, ValueType
from feast.feature_view import FeatureViewState
from feast.types import Float64

from asof.errors import ConfigurationError, FeatureContractMismatch, FeatureStoreUnavailable, ModelError
from asof.features.feature_contract import FeatureContract
from asof.features.feature_store import feature_store, mismatch, quiet, registered_service
from asof.inference.policies import RegisteredFeatures
from asof.serving.features import online_features
from asof.serving.features.online_features import OnlineFeatures
from asof.serving.features.store import opening
from asof.serving.features.store.opening import WIDE
from asof.settings import Settings
from doctor.data.definitions import _states, check_materialising, list_accepted
from tests.kits.data.definitions import OFTEN, SUBS, TRIPLED, asked, becomes, leave_in_state, redefine, with_query
from tests.kits.data.history import CHURN, History, moment
from tests.kits.data.parity import database_copy
from tests.kits.models.promotion import always
from tests.kits.service.serving import register_small_model, registered_contract
from tests.kits.store.readers import store_of
from tests.kits.store.stock import STOCK
from training.features.materialisation.feature_registry import apply_features
from training.features.materialisation.materialise import BEGINNING, materialise
from training.features.parity.check import check_parity
from training.release.promotion.acceptance import accept_definition, acceptances
from training.release.promotion.promote import promote


@pytest.fixture(scope="module")
def filled(history: History) -> History:
    """Both kinds of store show the newest month."""
    for kind in (STOCK, WIDE):
        with store_of(kind):
            apply_features(history.settings)
            materialise(history.settings, as_of=moment(history.plan.as_of(3)))
    return history


@pytest.fixture(params=[STOCK, WIDE])
def settings_of_test(request: pytest.FixtureRequest, filled: History) -> Iterator[Settings]:
    """A database that the test may change, with one kind of store or the other."""
    with database_copy(filled.settings) as settings, store_of(request.param):
        yield settings


@pytest.fixture
def one(filled: History) -> Iterator[Settings]:
    """The same with our own store alone."""
    with database_copy(filled.settings) as settings, store_of(WIDE):
        yield settings


@pytest.fixture(scope="module")
def april(filled: History) -> Any:
    return moment(filled.plan.as_of(3))


def some_user(settings: Settings) -> str:
    with psycopg.connect(settings.conninfo()) as connection:
        newest = connection.execute("SELECT user_id FROM subscriptions ORDER BY as_of DESC, user_id LIMIT 1")
        (user,) = newest.fetchone() or ("",)
    return str(user)


async def fee_of(features: OnlineFeatures, user: str) -> float:
    row = await features.lookup(user)
    return float(
        next(value for each, value in zip(row.features, row.values, strict=True) if each.name == "monthly_fee")
    )


async def refusal(features: OnlineFeatures, user: str = "nobody", words: str = "") -> str:
    """Why nothing is answered, once it is so; before, the store itself may fail whose table is gone."""

    async def refused() -> bool:
        try:
            await features.lookup(user)
        except FeatureStoreUnavailable as error:
            return isinstance(error, FeatureContractMismatch) and bool(re.search(words, str(error)))
        return False

    await becomes(refused)
    with pytest.raises(FeatureContractMismatch) as caught:
        await features.lookup_many([user])
    return str(caught.value)


def test_a_feature_that_means_something_else_is_refused_while_running_after_a_refill_and_after_a_restart(
    settings_of_test: Settings, april: Any
) -> None:
    settings = settings_of_test
    user, contract = some_user(settings), registered_contract(settings)

    async def running(features: OnlineFeatures) -> tuple[float, str, str]:
        fee = await fee_of(features, user)
        redefine(settings, change=TRIPLED)
        seen = await refusal(features, words="- monthly_fee")
        await asyncio.to_thread(materialise, settings, as_of=april)
        return fee, seen, await refusal(features, words="- monthly_fee")

    fee, seen, refilled = asked(settings, contract, running)
    for reason in (seen, refilled, asked(settings, contract, refusal), mismatch(settings, contract)):
        assert SUBS in reason
        assert "- monthly_fee | + monthly_fee * 3 AS monthly_fee" in reason
        assert f"accept-definition {SUBS}" in reason
    trained_on_it = registered_contract(settings)
    assert mismatch(settings, trained_on_it) == ""
    assert asked(settings, trained_on_it, lambda features: fee_of(features, user)) == pytest.approx(3 * fee)


def test_rows_that_another_definition_has_written_count_whatever_the_registry_says(
    settings_of_test: Settings, april: Any
) -> None:
    """Filled by one definition, and the registry set back to the other without a refill."""
    settings = settings_of_test
    user, contract = some_user(settings), registered_contract(settings)

    async def running(features: OnlineFeatures) -> tuple[float, str, float]:
        fee = await fee_of(features, user)
        redefine(settings, change=TRIPLED)
        await asyncio.to_thread(materialise, settings, as_of=april)
        await asyncio.to_thread(apply_features, settings)
        reason = await refusal(features, words="rows of")
        assert registered_contract(settings) == contract
        await asyncio.to_thread(materialise, settings, as_of=april)

        await becomes(lambda: answers(features, user))
        return fee, reason, await fee_of(features, user)

    before, reason, after = asked(settings, contract, running)
    assert f"rows of {SUBS} that are online were written when {SUBS} is defined otherwise" in reason
    assert "python -m flows ingest" in reason
    assert before == after


def test_rows_that_feast_itself_wrote_while_the_view_was_defined_otherwise_are_written_again(
    settings_of_test: Settings, april: Any
) -> None:
    """`feast apply` and `feast materialize` of another definition, and `feast apply` of the former one."""
    settings = settings_of_test
    user, contract = some_user(settings), registered_contract(settings)
    before = asked(settings, contract, lambda features: fee_of(features, user))
    redefine(settings, change=TRIPLED)
    with feature_store(settings) as store, quiet():
        store.materialize(BEGINNING, april, feature_views=[SUBS])

    async def running(features: OnlineFeatures) -> tuple[str, float]:
        await refusal(features, user)
        await asyncio.to_thread(apply_features, settings)
        reason = await refusal(features, user, "was defined otherwise for a time")
        await asyncio.to_thread(materialise, settings, as_of=april)
        await becomes(lambda: answers(features, user))
        return reason, await fee_of(features, user)

    reason, after = asked(settings, contract, running)
    assert f"{SUBS} was defined otherwise for a time" in reason
    assert "Run `python -m flows ingest`" in reason
    assert (after, mismatch(settings, contract)) == (before, "")
    apply_features(settings)
    assert materialise(settings, as_of=april).refreshes[0].since is None, "and not each time from now on"


async def answers(features: OnlineFeatures, user: str) -> bool:
    try:
        return await fee_of(features, user) > 0
    except FeatureContractMismatch:
        return False


def test_no_row_of_a_former_definition_stays_online(settings_of_test: Settings, april: Any) -> None:
    """Also not of users of whom the new definition has no row."""
    settings = settings_of_test
    user = some_user(settings)
    redefine(settings, change=with_query(lambda query: f"{query} WHERE user_id <> '{user}'"))
    materialise(settings, as_of=april)

    async def ask(features: OnlineFeatures) -> set[Any]:
        row = await features.lookup(user)
        return {value for each, value in zip(row.features, row.values, strict=True) if each.view == SUBS}

    assert asked(settings, registered_contract(settings), ask) == {None}


def test_a_refill_that_was_killed_leaves_rows_of_both(
    one: Settings, april: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = registered_contract(one)
    redefine(one, change=TRIPLED)
    with monkeypatch.context() as patch:
        patch.setattr(FeatureStore, "materialize", killed)
        with pytest.raises(ConnectionError):
            materialise(one, as_of=april)
    changed = registered_contract(one)
    apply_features(one)
    assert f"rows of {SUBS} that are online" in mismatch(one, contract)
    assert mismatch(one, changed)
    materialise(one, as_of=april)
    assert mismatch(one, contract) == ""


def killed(*_: Any, **__: Any) -> None:
    raise ConnectionError("Killed.")


@pytest.mark.parametrize("how", ["by SQL", "by Feast"])
def test_a_policy_that_changes_is_seen_while_running(
    one: Settings, april: Any, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract, user = registered_contract(one), some_user(one)
    if how == "by Feast":
        monkeypatch.setattr("asof.serving.features.store.opening._wide_reader", lambda *_: None)
        monkeypatch.setattr("asof.serving.features.store.opening.registry_conninfo", lambda _: None)

    def cut(view: Any) -> None:
        view.ttl, view.tags = timedelta(days=2), {"staleness": "flag"}

    async def running(features: OnlineFeatures) -> None:
        place = contract.names.index("monthly_fee")
        before = features.policies[place]
        assert (before.max_age, before.refuses) == (timedelta(days=45), True)
        fee, many = await fee_of(features, user), await features.lookup_many([user])
        redefine(one, change=cut)

        async def seen() -> bool:
            return (features.policies[place].max_age, features.policies[place].refuses) == (timedelta(days=2), False)

        await becomes(seen)
        assert await fee_of(features, user) == fee
        assert (await features.lookup_many([user])).row(0).values == many.row(0).values

    asked(one, contract, running)


def retyped(settings: Settings) -> None:
    def change(view: Any) -> None:
        with_query(lambda query: query.replace("months_active,", "months_active * 0.5 AS months_active,"))(view)
        view.features = [
            Field(name=f.name, dtype=Float64 if f.name == "months_active" else f.dtype) for f in view.features
        ]

    redefine(settings, change=change)


def without_a_feature(settings: Settings) -> None:
    redefine(settings, "users_fv", lambda view: view.features.pop())


def renamed(settings: Settings) -> None:
    with feature_store(settings) as store, quiet():
        service, view = store.get_feature_service("churn_v2"), store.get_feature_view("users_fv")
        view.name = view.projection.name = "people_fv"
        store.apply([view])
        service.feature_view_projections[-1].name = "people_fv"
        store.apply([service], objects_to_delete=[store.get_feature_view("users_fv")], partial=False)


def served_less(settings: Settings) -> None:
    with feature_store(settings) as store, quiet():
        service = store.get_feature_service("churn_v2")
        service.feature_view_projections.pop()
        store.apply([service])


def keyed_otherwise(settings: Settings) -> None:
    with feature_store(settings) as store, quiet():
        store.apply([Entity(name="user", join_keys=["customer_id"], value_type=ValueType.STRING)])


def tagged(settings: Settings) -> None:
    redefine(settings, change=lambda view: view.tags.update({"unit": "cents"}))


def dated_otherwise(settings: Settings) -> None:
    def change(view: Any) -> None:
        view.batch_source.created_timestamp_column = ""

    redefine(settings, "payments_agg_90d_fv", change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (retyped, "months_active"),
        (without_a_feature, "has_dependents"),
        (renamed, "people_fv|users_fv"),
        (served_less, "only the model has users_fv"),
        (keyed_otherwise, "the entity is 'customer_id'"),
        (tagged, "tag unit: cents"),
        (dated_otherwise, "payments_agg_90d_fv is defined otherwise .- created created_at"),
    ],
)
def test_whatever_changes_under_a_running_service_is_seen(
    one: Settings, change: Callable[[Settings], None], words: str
) -> None:
    async def running(features: OnlineFeatures) -> str:
        await features.lookup("nobody")
        await asyncio.to_thread(change, one)
        return await refusal(features, words=words)

    assert re.search(words, asked(one, registered_contract(one), running))


def test_every_feature_of_a_model_is_described_in_the_registry(filled: History) -> None:
    """The model card shows it."""
    registered = registered_service(filled.settings, "churn_v2")
    assert registered
    assert registered.descriptions.keys() >= {feature.name for feature in registered.contract.features}
    assert registered.descriptions["watch_hours_30d"] == "hours watched in 30 days"


def test_a_view_that_a_model_does_not_take_is_no_matter_of_its(one: Settings, april: Any) -> None:
    contract = registered_contract(one, "churn_v1")
    redefine(one, "users_fv", tagged_as_new)
    materialise(one, as_of=april)
    assert mismatch(one, contract) == ""
    assert "users_fv" in mismatch(
        one, replace(registered_contract(one), definitions=contract.definitions | {"users_fv": ""})
    )


def tagged_as_new(view: Any) -> None:
    view.tags.update({"meaning": "new"})


def test_a_model_that_does_not_record_its_definitions_is_trained_again(one: Settings) -> None:
    before = replace(registered_contract(one), definitions={})
    assert "the model does not record the definition of subs_profile_fv" in mismatch(one, before)
    assert FeatureContract.from_dict({**before.to_dict(), "definitions": {}}) == before


def test_while_the_registry_is_away_what_is_known_is_answered_and_not_for_ever(
    one: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, contract, away = some_user(one), registered_contract(one), asyncio.Event()

    def look(settings: Settings, contract: FeatureContract) -> RegisteredFeatures:
        if away.is_set():
            raise FeatureStoreUnavailable("The feature registry cannot be read (OperationalError).")
        return opening.read_registered(settings, contract)

    async def main() -> None:
        features = OnlineFeatures(one.model_copy(update={"features_seconds": OFTEN}), contract, read_registry=look)
        await features.start()
        fee = await fee_of(features, user)
        away.set()
        await asyncio.sleep(10 * OFTEN)
        assert await fee_of(features, user) == fee
        monkeypatch.setattr(online_features, "MAX_REGISTRY_AGE", 0.0)

        async def given_up() -> bool:
            with contextlib.suppress(FeatureStoreUnavailable):
                return await fee_of(features, user) < 0
            return True

        await becomes(given_up)
        away.clear()

        async def back() -> bool:
            with contextlib.suppress(FeatureStoreUnavailable):
                return await fee_of(features, user) == fee
            return False

        await becomes(back)
        await features.close()

    asyncio.run(main())


def test_a_killed_materialisation_is_no_trouble_for_what_comes_after(one: Settings, april: Any) -> None:
    """`feast materialize` leaves a view MATERIALIZING where it is killed, and GENERATED where the next one failed."""
    leave_in_state(one, FeatureViewState.MATERIALIZING)
    assert not check_parity(one, CHURN, sample=20).wrong
    assert SUBS in next(check_materialising(states_of(one))).found
    leave_in_state(one, FeatureViewState.GENERATED)
    with pytest.raises(ConfigurationError, match=f"does not read {SUBS} online .*python -m flows ingest"):
        check_parity(one, CHURN, sample=20)
    assert SUBS in next(check_materialising(states_of(one))).found
    apply_features(one)
    materialise(one, as_of=april)
    assert not list(check_materialising(states_of(one)))
    assert not check_parity(one, CHURN, sample=20).wrong


async def found_while_filled(features: OnlineFeatures, user: str, settings: Settings, as_of: Any) -> set[float]:
    """The fees that are found while the view is written again."""
    filling = asyncio.create_task(asyncio.to_thread(materialise, settings, as_of=as_of))
    fees = {await fee_of(features, user)}
    while not filling.done():
        fees.add(await fee_of(features, user))
        await asyncio.sleep(0.01)
    await filling
    return fees


def states_of(settings: Settings) -> dict[str, str]:
    with psycopg.connect(settings.conninfo()) as connection:
        return _states(connection)


def test_a_change_is_accepted_by_name_for_that_pair_of_definitions(one: Settings, april: Any) -> None:
    contract = registered_contract(one)
    version, _ = register_small_model(one, contract)
    with pytest.raises(ModelError, match="No version of streamflow_churn is in Production"):
        accept_definition(one, CHURN, SUBS, reason="why")
    promote(one, version, judge=always)
    with pytest.raises(ModelError, match="or accepted"):
        accept_definition(one, CHURN, SUBS, reason="why")
    with pytest.raises(ModelError, match="records no definition of 'subs_fv'"):
        accept_definition(one, CHURN, "subs_fv", reason="why")
    redefine(one, change=with_query(lambda query: f"-- reviewed\n{query}"))

    async def running(features: OnlineFeatures) -> None:
        await refusal(features)
        (accepted,) = await asyncio.to_thread(accept_definition, one, CHURN, SUBS, reason="a comment")
        assert (accepted.version, accepted.reason, "reviewed" in accepted.changes) == (
            version.version,
            "a comment",
            True,
        )

        async def answered() -> bool:
            with contextlib.suppress(FeatureContractMismatch):
                return bool(await features.lookup("nobody"))
            return False

        await becomes(answered)

    asked(one, contract, running)
    (finding,) = list_accepted(acceptances(one))
    assert "because: a comment" in finding.found
    user = some_user(one)
    fees = asked(one, contract, lambda features: found_while_filled(features, user, one, april))
    assert len(fees) == 1, "nothing is taken away that means the same"
    assert mismatch(one, contract) == ""
    redefine(one, change=TRIPLED)
    assert "monthly_fee * 3" in mismatch(one, contract)
