"""What Feast's online store holds, in our terms; and what happens when it cannot be trusted."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
import pytest
from feast.protos.feast.types.Value_pb2 import Value
from pydantic import SecretStr

from asof.errors import ConfigurationError, FeatureContractMismatch, FeatureStoreUnavailable
from asof.feature_contract import Feature, FeatureContract
from asof.serving.online_features import OnlineFeatures
from asof.settings import Settings, export
from tests import serving_kit as kit
from tests.serving_kit import NOW, USER
from training.materialise import apply_features

T = TypeVar("T")
MANY = kit.users_like(150, seed=4)


@pytest.fixture(scope="module")
def contract(settings: Settings) -> FeatureContract:
    export(settings)
    apply_features(settings)
    users = {"good": USER, "strange": USER, "partial": {"users_fv": USER["users_fv"]}, **MANY}
    kit.write_users(settings, users, NOW)
    with psycopg.connect(settings.conninfo()) as connection:  # Feast itself writes a NaN as a null
        not_a_number = Value(double_val=float("nan")).SerializeToString()
        written = connection.execute(
            "UPDATE online.asof_usage_agg_30d_fv SET value = %s"
            " WHERE feature_name = 'watch_hours_30d' AND position('strange'::bytea IN entity_key) > 0",
            [not_a_number],
        )
        assert written.rowcount == 1
    return kit.registered_contract(settings)


def with_features(
    settings: Settings, contract: FeatureContract, ask: Callable[[OnlineFeatures], Coroutine[Any, Any, T]]
) -> T:
    async def main() -> T:
        features = OnlineFeatures(settings, contract)
        opening = features.start()
        await asyncio.wait({opening}, timeout=5)
        try:
            return await ask(features)
        finally:
            await features.close()

    return asyncio.run(main())


def test_values_moments_and_absences_are_told_apart(settings: Settings, contract: FeatureContract) -> None:
    async def ask(features: OnlineFeatures) -> list[dict[str, Any]]:
        asked = [await features.find(user) for user in ("good", "strange", "partial", "nobody")]
        return [{found.feature.name: (found.value, found.as_of) for found in one} for one in asked]

    good, strange, partial, nobody = with_features(settings, contract, ask)
    values = kit.flat(USER)
    assert good == {name: (values[name], NOW) for name in contract.names}
    assert strange["watch_hours_30d"] == (None, NOW)
    assert partial["has_family"] == (True, NOW)
    assert partial["monthly_fee"] == (None, None)
    assert set(nobody.values()) == {(None, None)}


def test_many_at_once_each_get_their_own_values(settings: Settings, contract: FeatureContract) -> None:
    async def ask(features: OnlineFeatures) -> list[Any]:
        return await asyncio.gather(*(features.find(user) for user in [*MANY, "nobody", *MANY]))

    found = with_features(settings, contract, ask)
    for user, one in zip([*MANY, "nobody", *MANY], found, strict=True):
        fee = next(reading.value for reading in one if reading.feature.name == "monthly_fee")
        assert fee == (MANY[user]["subs_profile_fv"]["monthly_fee"] if user in MANY else None)


def test_ttl_and_staleness_come_from_the_registry(settings: Settings, contract: FeatureContract) -> None:
    async def ask(features: OnlineFeatures) -> dict[str, tuple[timedelta | None, bool]]:
        policies = {feature.view: features.policy(feature) for feature in contract.features}
        return {view: (policy.max_age, policy.refuses) for view, policy in policies.items()}

    assert with_features(settings, contract, ask) == {
        "subs_profile_fv": (timedelta(days=45), True),
        "usage_agg_30d_fv": (timedelta(days=45), True),
        "payments_agg_90d_fv": (timedelta(days=45), False),
        "support_agg_90d_fv": (timedelta(days=45), False),
        "users_fv": (timedelta(days=400), False),
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: replace(c, features=c.features[:-1]), "only the registry has users_fv:has_dependents"),
        (
            lambda c: replace(c, features=(*c.features, Feature("x", "users_fv", "Bool"))),
            "only the model has users_fv:x",
        ),
        (lambda c: replace(c, features=(replace(c.features[0], dtype="Float64"), *c.features[1:])), "months_active"),
        (lambda c: replace(c, features=c.features[::-1]), "the order of the features"),
        (lambda c: replace(c, feature_service="churn_v9"), "churn_v9.*feast apply"),
    ],
)
def test_a_registry_that_is_not_the_models_is_refused_with_the_difference(
    settings: Settings, contract: FeatureContract, change: Callable[[FeatureContract], FeatureContract], words: str
) -> None:
    async def main() -> None:
        features = OnlineFeatures(settings, change(contract))
        features.start()
        await asyncio.sleep(1)
        with pytest.raises(FeatureContractMismatch, match=words):
            await features.find("good")
        await features.close()

    asyncio.run(main())


def test_a_lost_connection_costs_no_request(settings: Settings, contract: FeatureContract) -> None:
    async def ask(features: OnlineFeatures) -> Any:
        before = await features.find("good")
        with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        return before, await asyncio.gather(*(features.find("good") for _ in range(20)))

    before, after = with_features(settings, contract, ask)
    assert after == [before] * 20


def test_a_slow_store_is_given_up_in_time_and_used_again(settings: Settings, contract: FeatureContract) -> None:
    async def ask(features: OnlineFeatures) -> None:
        await features.find("good")
        clock = asyncio.get_running_loop().time
        with psycopg.connect(settings.conninfo()) as blocker:
            blocker.execute("LOCK TABLE online.asof_users_fv IN ACCESS EXCLUSIVE MODE")
            begun = clock()
            outcomes = await asyncio.gather(*(features.find("good") for _ in range(5)), return_exceptions=True)
            assert clock() - begun < 1
            assert {type(outcome) for outcome in outcomes} == {FeatureStoreUnavailable}
        assert len(await features.find("good")) == len(contract.features)

    with_features(settings.model_copy(update={"lookup_timeout": 0.5}), contract, ask)


def test_a_store_that_is_not_there_is_told(settings: Settings, contract: FeatureContract) -> None:
    missing = settings.database("asof_is_not_there").render_as_string(hide_password=False)
    nowhere = settings.model_copy(update={"postgres_url": SecretStr(missing)})

    async def main() -> None:
        features = OnlineFeatures(nowhere, contract)
        features.start()
        with pytest.raises(FeatureStoreUnavailable, match="is being opened"):
            await features.find("good")
        await asyncio.sleep(1)
        with pytest.raises(FeatureStoreUnavailable, match="registry cannot be read"):
            await features.find("good")
        await features.close()

    asyncio.run(main())


def test_without_a_postgresql_the_service_does_not_start(settings: Settings, contract: FeatureContract) -> None:
    async def main() -> None:
        OnlineFeatures(settings.model_copy(update={"postgres_url": None}), contract).start()

    with pytest.raises(ConfigurationError, match="ASOF_POSTGRES_URL"):
        asyncio.run(main())
