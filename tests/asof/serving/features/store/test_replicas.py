"""Lookups at a real streaming replica: they move there, leave it while it is behind, and lose nothing when it dies."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from pydantic import SecretStr

from asof.errors import ConfigurationError
from asof.features.feature_contract import FeatureContract
from asof.replicas import ServerState, require_replica
from asof.serving.features.online_features import OnlineFeatures
from asof.serving.features.store.replica_watch import ReplicaWatch
from asof.serving.logs.metrics import Metrics
from asof.settings import Settings, export
from tests.kits.machine.free_port import free_port
from tests.kits.machine.gate import Gate
from tests.kits.machine.replica import PATIENCE, Replica
from tests.kits.service import serving as kit
from tests.kits.service.serving import NOW, USER
from training.features.materialisation.feature_registry import apply_features

BEFORE, TIMEOUT = NOW - timedelta(days=1), 1.5
METRICS = Metrics()


@pytest.fixture(scope="module")
def contract(settings: Settings) -> FeatureContract:
    export(settings)
    apply_features(settings)
    return kit.registered_contract(settings)


@pytest.fixture
def reading(settings: Settings, user: str, replica: Replica) -> Settings:
    """Looks up at the replica, which has the user."""
    return replica.read_by(settings, lookups_from="replicas", lookup_timeout=TIMEOUT)


@pytest.fixture
def user(settings: Settings, contract: FeatureContract, request: pytest.FixtureRequest) -> str:
    """A user of the test's own, as of BEFORE."""
    name: str = request.node.name
    kit.write_users(settings, {name: USER}, BEFORE)
    return name


@asynccontextmanager
async def looking_up(
    settings: Settings, contract: FeatureContract
) -> AsyncIterator[tuple[OnlineFeatures, ReplicaWatch]]:
    watch = ReplicaWatch(settings, METRICS)
    features = OnlineFeatures(settings, contract, replicas=watch)
    try:
        await asyncio.wait_for(features.start(), PATIENCE)
        yield features, watch
    finally:
        await features.close()


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.02)


async def moment_of(user: str, features: OnlineFeatures) -> object:
    """That of the row which one lookup and one of many return alike."""
    one, many = await features.lookup(user), await features.lookup_many([user])
    (moment,) = set(one.moments)
    assert set(many.row(0).moments) == {moment}
    return moment


def test_lookups_move_to_a_replica_and_have_the_moments_of_its_rows(
    settings: Settings, reading: Settings, contract: FeatureContract, replica: Replica, user: str
) -> None:
    patient = reading.model_copy(update={"replica_lag_seconds": 3600})

    async def main() -> None:
        async with looking_up(patient, contract) as (features, watch):
            await eventually(lambda: bool(watch.current))
            with replica.paused(settings):
                write = partial(kit.write_users, settings, {user: USER}, NOW)
                await asyncio.to_thread(write)
                assert await moment_of(user, features) == BEFORE
            await asyncio.to_thread(replica.catch_up, settings)
            assert await moment_of(user, features) == NOW

    asyncio.run(main())


def test_a_replica_that_falls_behind_is_left_within_two_seconds_and_comes_back(
    settings: Settings,
    reading: Settings,
    contract: FeatureContract,
    replica: Replica,
    user: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "asof.serving")

    async def main() -> float:
        async with looking_up(reading, contract) as (features, watch):
            await eventually(lambda: bool(watch.current))
            with replica.paused(settings):
                await asyncio.to_thread(kit.write_users, settings, {user: USER}, NOW)
                begun = time.monotonic()
                await eventually(lambda: not watch.current)
                left = time.monotonic() - begun
                assert await moment_of(user, features) == NOW
            await eventually(lambda: bool(watch.current))
            return left

    assert asyncio.run(main()) < 2
    assert "is left by lookups: it is more than 1 s behind" in caplog.text
    assert caplog.messages[-1].endswith("answers lookups.")


def test_lookups_go_on_at_a_replica_while_the_primary_hangs(
    settings: Settings, reading: Settings, contract: FeatureContract, user: str
) -> None:
    url = settings.database()
    gate = Gate(str(url.host), url.port or 5432)

    async def main() -> None:
        async with gate.listening() as port:
            behind = SecretStr(url.set(port=port).render_as_string(hide_password=False))
            gated = reading.model_copy(update={"postgres_url": behind, "features_seconds": 0.2})
            async with looking_up(gated, contract) as (features, watch):
                await eventually(lambda: bool(watch.current))
                gate.open.clear()
                until = time.monotonic() + 3 * reading.replica_lag_seconds
                while time.monotonic() < until:
                    assert await moment_of(user, features) == BEFORE
                assert watch.current
                gate.open.set()

    asyncio.run(main())


@pytest.mark.parametrize("fails", ["killed", "hanging"])
def test_a_replica_that_dies_or_hangs_fails_no_lookup(
    settings: Settings, reading: Settings, contract: FeatureContract, replica: Replica, user: str, fails: str
) -> None:
    async def main() -> float:
        slowest, looked = 0.0, 0
        async with looking_up(reading, contract) as (features, watch):
            await eventually(lambda: bool(watch.current))

            async def look(until: Callable[[], bool]) -> None:
                nonlocal slowest, looked
                async with asyncio.timeout(PATIENCE):
                    while not until():
                        begun = time.monotonic()
                        assert await moment_of(user, features) == BEFORE
                        slowest, looked = max(slowest, time.monotonic() - begun), looked + 1

            await look(lambda: looked > 20)
            if fails == "killed":
                replica.kill()
                await look(lambda: not watch.current)
                await asyncio.to_thread(replica.start)
            else:
                with replica.hanging():
                    await look(lambda: not watch.current)
            await look(lambda: bool(watch.current))
        return slowest

    assert asyncio.run(main()) < TIMEOUT


def test_what_is_no_replica_is_not_used_and_named_in_the_log(
    settings: Settings, contract: FeatureContract, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    closed = settings.database().set(port=free_port(28432, "nobody")).render_as_string(hide_password=False)
    urls = f"{settings.postgres_url.get_secret_value()} {closed}"  # type: ignore[union-attr]
    wrong = settings.model_copy(update={"postgres_read_urls": SecretStr(urls)})

    async def main() -> None:
        async with looking_up(wrong, contract) as (features, watch):
            await eventually(lambda: "it accepts writes" in caplog.text and "does not answer" in caplog.text)
            assert await moment_of(user, features) == BEFORE
            assert not watch.current

    asyncio.run(main())
    url = settings.database()
    assert f"{url.host}:{url.port}/{url.database} of ASOF_POSTGRES_READ_URLS is not a replica" in caplog.text
    assert str(url.password) not in caplog.text


PRIMARY = ServerState("asof", in_recovery=False, system=1, timeline=2, position=100)
REPLICA = replace(PRIMARY, in_recovery=True)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (PRIMARY, "host:5432/asof of ASOF_POSTGRES_READ_URLS is not a replica: it accepts writes"),
        (replace(REPLICA, system=7), r"another PostgreSQL \(system identifier 7, the primary's 1\)"),
        (replace(REPLICA, timeline=1), "is on timeline 1, and the primary on 2: it did not follow a failover"),
        (replace(REPLICA, database="other"), "is database 'other', and the primary's is 'asof'"),
    ],
)
def test_a_server_that_is_no_replica_of_the_primary_is_refused(found: ServerState, words: str) -> None:
    require_replica("host:5432/asof", REPLICA, PRIMARY)
    with pytest.raises(ConfigurationError, match=words):
        require_replica("host:5432/asof", found, PRIMARY)


def test_the_primary_may_not_be_a_replica() -> None:
    with pytest.raises(ConfigurationError, match="ASOF_POSTGRES_URL names a replica"):
        require_replica("host:5432/asof", REPLICA, REPLICA)
