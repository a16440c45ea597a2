"""Lookups in both online stores, and what happens when the store or the registry fails."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import psycopg
import pytest
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from pydantic import SecretStr

from asof.errors import ConfigurationError, FeatureContractMismatch, FeatureStoreUnavailable
from asof.features.feature_contract import Feature, FeatureContract
from asof.features.feature_store import feature_store
from asof.inference.ranges import TrainingRanges
from asof.serving.features.online_features import OnlineFeatures
from asof.serving.features.store.opening import WIDE
from asof.serving.features.store_input import StoreInput
from asof.serving.logs.metrics import Metrics
from asof.settings import Settings, export
from asof.use_cases.churn.payloads import ChurnRequest
from tests.kits.machine.gate import Gate
from tests.kits.service import serving as kit
from tests.kits.service.serving import NOW, USER
from tests.kits.store.readers import store_of
from tests.kits.store.stock import STOCK
from training.features.materialisation.feature_registry import apply_features

T = TypeVar("T")
MANY = kit.users_like(150, seed=4)
LONGEST = 60
"""Seconds that an event may take on a busy machine."""


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"lookup_timeout": LONGEST})


@contextlib.contextmanager
def impatient(features: OnlineFeatures) -> Iterator[None]:
    """Within the block lookups have a short timeout."""
    patient = features._settings
    features._settings = patient.model_copy(update={"lookup_timeout": 0.3})
    yield
    features._settings = patient


async def refusal(features: OnlineFeatures) -> FeatureStoreUnavailable:
    """What a lookup raises after an attempt to open the store."""
    async with asyncio.timeout(LONGEST):
        while True:
            try:
                await features.lookup("good")
            except FeatureStoreUnavailable as error:
                if "is being opened" not in str(error):
                    return error
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def contract(settings: Settings) -> FeatureContract:
    export(settings)
    users = {"good": USER, "strange": USER, "partial": {"users_fv": USER["users_fv"]}, **MANY}
    for kind in (STOCK, WIDE):
        with store_of(kind):
            apply_features(settings)
            kit.write_users(settings, users, NOW)
    with psycopg.connect(settings.conninfo()) as connection:  # Feast itself writes a NaN as a null
        not_a_number = Value(double_val=float("nan")).SerializeToString()
        written = connection.execute(
            "UPDATE online.asof_usage_agg_30d_fv SET value = %s"
            " WHERE feature_name = 'watch_hours_30d' AND position('strange'::bytea IN entity_key) > 0",
            [not_a_number],
        )
        assert written.rowcount == 1
        connection.execute(
            "UPDATE online.\"asof.usage_agg_30d_fv\" SET watch_hours_30d = 'NaN' WHERE user_id = 'strange'"
        )
    return kit.registered_contract(settings)


WAYS = [("directly", WIDE), ("through Feast", WIDE), ("through Feast", STOCK)]


@pytest.fixture(params=WAYS, ids=str, autouse=True)
def way(request: pytest.FixtureRequest, contract: FeatureContract, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Each test runs for every reader of both stores."""
    how, kind = request.param
    if how == "through Feast":
        monkeypatch.setattr("asof.serving.features.store.opening._wide_reader", lambda *_: None)
    with store_of(kind):
        yield how, kind


def with_features(
    settings: Settings, contract: FeatureContract, ask: Callable[[OnlineFeatures], Coroutine[Any, Any, T]]
) -> T:
    async def main() -> T:
        features = OnlineFeatures(settings, contract)
        try:
            await asyncio.wait_for(features.start(), LONGEST)
            return await ask(features)
        finally:
            await features.close()

    return asyncio.run(main())


def test_values_moments_and_missing_features_are_distinguished(settings: Settings, contract: FeatureContract) -> None:
    async def ask(features: OnlineFeatures) -> list[dict[str, Any]]:
        asked = [await features.lookup(user) for user in ("good", "strange", "partial", "nobody")]
        return [
            {
                each.name: (value, moment)
                for each, value, moment in zip(one.features, one.values, one.moments, strict=True)
            }
            for one in asked
        ]

    good, strange, partial, nobody = with_features(settings, contract, ask)
    values = kit.flat(USER)
    assert good == {name: (values[name], NOW) for name in contract.names}
    assert strange["watch_hours_30d"] == (None, NOW)
    assert partial["has_family"] == (True, NOW)
    assert partial["monthly_fee"] == (None, None)
    assert set(nobody.values()) == {(None, None)}


def test_concurrent_lookups_return_their_own_values(settings: Settings, contract: FeatureContract) -> None:
    async def ask(features: OnlineFeatures) -> list[Any]:
        return await asyncio.gather(*(features.lookup(user) for user in [*MANY, "nobody", *MANY]))

    found = with_features(settings, contract, ask)
    for user, one in zip([*MANY, "nobody", *MANY], found, strict=True):
        fee = one.values[contract.names.index("monthly_fee")]
        assert fee == (MANY[user]["subs_profile_fv"]["monthly_fee"] if user in MANY else None)


def test_ttl_and_staleness_come_from_the_registry(settings: Settings, contract: FeatureContract) -> None:
    async def ask(features: OnlineFeatures) -> dict[str, tuple[timedelta | None, bool]]:
        policies = zip(contract.features, features.policies, strict=True)
        return {feature.view: (policy.max_age, policy.refuses) for feature, policy in policies}

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
def test_a_registry_that_differs_from_the_model_is_refused_with_the_difference(
    settings: Settings, contract: FeatureContract, change: Callable[[FeatureContract], FeatureContract], words: str
) -> None:
    async def main() -> None:
        features = OnlineFeatures(settings, change(contract))
        features.start()
        with pytest.raises(FeatureContractMismatch, match=words):
            raise await refusal(features)
        await features.close()

    asyncio.run(main())


def test_a_lost_connection_fails_no_request(settings: Settings, contract: FeatureContract) -> None:
    async def ask(features: OnlineFeatures) -> Any:
        before = await features.lookup("good")
        with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        return before, await asyncio.gather(*(features.lookup("good") for _ in range(20)))

    before, after = with_features(settings, contract, ask)
    assert after == [before] * 20


def test_a_lookup_in_a_slow_store_times_out_and_the_next_succeeds(
    settings: Settings, contract: FeatureContract
) -> None:
    async def ask(features: OnlineFeatures) -> None:
        await features.lookup("good")
        with psycopg.connect(settings.conninfo()) as blocker, impatient(features):
            blocker.execute('LOCK TABLE online.asof_users_fv, online."asof.users_fv" IN ACCESS EXCLUSIVE MODE')
            async with asyncio.timeout(LONGEST):  # the lock is kept until all have been given up
                outcomes = await asyncio.gather(*(features.lookup("good") for _ in range(5)), return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {FeatureStoreUnavailable}
        assert len((await features.lookup("good")).values) == len(contract.features)

    with_features(settings, contract, ask)


def test_a_lookup_at_a_server_that_hangs_times_out_and_the_next_succeeds(
    settings: Settings, contract: FeatureContract
) -> None:
    url = settings.database()
    gate = Gate(url.host or "", url.port or 5432)

    async def main() -> None:
        async with gate.listening() as port:
            shut = url.set(port=port).render_as_string(hide_password=False)
            behind = settings.model_copy(update={"postgres_url": SecretStr(shut)})
            export(behind)
            features = OnlineFeatures(behind, contract)
            await features.start()
            before = await features.lookup("good")
            gate.open.clear()
            with impatient(features):
                for _ in range(2):  # a connection that hangs, and one that cannot be made
                    with pytest.raises(FeatureStoreUnavailable, match=r"within 0\.3 s"):
                        async with asyncio.timeout(9):  # psycopg by itself waits 10 s for the end of what is cancelled
                            await features.lookup("good")
            gate.open.set()
            assert await features.lookup("good") == before
            await features.close()

    try:
        asyncio.run(main())
    finally:
        export(settings)


def test_no_connection_is_leaked(settings: Settings, contract: FeatureContract, way: tuple[str, str]) -> None:
    kept = 2 if way == ("through Feast", WIDE) else 1  # a pool begins with one more than it is asked for

    async def main() -> None:
        features = OnlineFeatures(settings, contract)
        await features.start()
        for _ in range(3):
            await features.lookup("good")
        with psycopg.connect(settings.conninfo()) as blocker, impatient(features):
            blocker.execute('LOCK TABLE online.asof_users_fv, online."asof.users_fv" IN ACCESS EXCLUSIVE MODE')
            with pytest.raises(FeatureStoreUnavailable):
                await features.lookup("good")
        await asyncio.gather(*(features.lookup("good") for _ in range(20)))
        await connected(settings, kept)
        late = asyncio.create_task(features.lookup("good"))
        await asyncio.sleep(0)
        await features.close()
        await asyncio.wait({late})
        await connected(settings, 0)

    asyncio.run(main())


async def connected(settings: Settings, count: int) -> None:
    """Waits until so many are connected to the database: the server notices a closed connection late."""
    for _ in range(10 * LONGEST):
        if connections(settings) <= count:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{connections(settings)} connections, not {count} at most")


def connections(settings: Settings) -> int:
    """The number of other connections to the database."""
    with psycopg.connect(settings.conninfo()) as connection:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        (count,) = connection.execute(query).fetchone() or (0,)
    return int(count)


@pytest.mark.parametrize("which", ["total_paid", "net_service", "monthly_fee"])
def test_an_answer_has_the_oldest_moment_of_a_view_and_those_of_features_that_differ(
    settings: Settings, contract: FeatureContract, way: tuple[str, str], which: str
) -> None:
    """For each feature of the view; `/predict` and a batch agree."""
    kit.write_users(settings, {which: USER, "whole": USER}, NOW - timedelta(days=4))
    _write_one(settings, which, NOW)
    metrics, trained = Metrics(), TrainingRanges(kit.facts_of(contract))

    async def ask(features: OnlineFeatures) -> tuple[Any, Any]:
        by = StoreInput(settings.model_copy(update={"clock": NOW}), features, metrics)
        requests = [ChurnRequest(user_id=user) for user in (which, "whole")]
        return [(await by.read(each, trained)).evidence for each in requests], (
            await by.look_up(requests, trained)
        )().judged

    singles, many = with_features(settings, contract, ask)
    assert many == singles
    written, whole = singles
    as_of = dict.fromkeys(contract.views, NOW - timedelta(days=4))
    assert whole == {"as_of": as_of, "flags": []}
    if way[0] == "directly":  # Feast's API gives one moment for all features of a view
        own = dict.fromkeys(USER["subs_profile_fv"], NOW - timedelta(days=4)) | {which: NOW}
        assert written == {"as_of": as_of, "as_of_features": own, "flags": []}
    elif way[1] == WIDE:
        assert written == whole


def _write_one(settings: Settings, feature: str, as_of: datetime) -> None:
    """Writes a value of one feature of `subs_profile_fv` alone, for the user of the same name."""
    value: Any = USER["subs_profile_fv"][feature]
    row = {feature: Value(string_val=value) if isinstance(value, str) else Value(double_val=value)}
    key = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=feature)])
    with feature_store(settings) as store:
        view = store.get_feature_view("subs_profile_fv")
        store.provider.online_write_batch(store.config, view, [(key, row, as_of, None)], None)


def test_a_missing_store_is_reported(settings: Settings, contract: FeatureContract) -> None:
    missing = settings.database("asof_is_not_there").render_as_string(hide_password=False)
    nowhere = settings.model_copy(update={"postgres_url": SecretStr(missing)})

    async def main() -> None:
        features = OnlineFeatures(nowhere, contract)
        features.start()
        with pytest.raises(FeatureStoreUnavailable, match="is being opened"):
            await features.lookup("good")
        with pytest.raises(FeatureStoreUnavailable, match="registry cannot be read"):
            raise await refusal(features)
        await features.close()

    asyncio.run(main())


def test_without_a_postgresql_the_service_does_not_start(settings: Settings, contract: FeatureContract) -> None:
    async def main() -> None:
        OnlineFeatures(settings.model_copy(update={"postgres_url": None}), contract).start()

    with pytest.raises(ConfigurationError, match="ASOF_POSTGRES_URL"):
        asyncio.run(main())
