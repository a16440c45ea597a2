"""Our readers through a real PgBouncer in transaction mode: clients that share connections get their own rows."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from asof.errors import ConfigurationError
from asof.features.feature_contract import FeatureContract
from asof.features.feature_store import feature_store
from asof.serving.features.online_features import OnlineFeatures
from asof.settings import Settings, export
from doctor.platforms.database import check_sessions, connection_refused
from local.embedded_postgres.databases import check_databases
from online_store.session import is_pooled
from tests.kits.machine.pooler import pooled
from tests.kits.service import serving as kit
from tests.kits.service.serving import NOW
from training.features.materialisation.feature_registry import apply_features

USERS = kit.users_like(60, seed=7)
CLIENTS = 6
"""Of a pooler with two connections."""


@pytest.fixture(scope="module")
def contract(settings: Settings) -> FeatureContract:
    export(settings)
    apply_features(settings)
    kit.write_users(settings, USERS, NOW)
    return kit.registered_contract(settings)


@pytest.fixture(scope="module")
def behind(
    settings: Settings, contract: FeatureContract, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    with pooled(settings, tmp_path_factory.mktemp("pooler")) as behind:
        yield behind


def test_clients_that_share_connections_get_their_own_rows(
    settings: Settings, behind: Settings, contract: FeatureContract
) -> None:
    fee = contract.names.index("monthly_fee")
    expected = {user: views["subs_profile_fv"]["monthly_fee"] for user, views in USERS.items()}

    async def ask(features: OnlineFeatures) -> None:
        await features.start()
        for user in USERS:
            assert (await features.lookup(user)).values[fee] == expected[user]
            many = await features.lookup_many([*USERS, *USERS])
            assert many.columns[fee].values.tolist() == [*expected.values()] * 2
        await features.close()

    async def main() -> None:
        clients = [OnlineFeatures(behind, contract) for _ in range(CLIENTS)]
        await asyncio.gather(*map(ask, clients))

    asyncio.run(main())
    with psycopg.connect(settings.conninfo()) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert connection.execute(query).fetchone() <= (2,)  # type: ignore[operator]


def test_feasts_own_interface_works_through_it(behind: Settings, contract: FeatureContract) -> None:
    """Written and read again and again, so that a query that is prepared somewhere would be missed elsewhere."""
    with feature_store(behind) as one, feature_store(behind) as other:
        refs = [f"{each.view}:{each.name}" for each in contract.features]
        for user in USERS:
            asked = [{"user_id": user}]
            first, second = (each.get_online_features(refs, asked).to_dict() for each in (one, other))
            assert first == second
            assert first["monthly_fee"] == [USERS[user]["subs_profile_fv"]["monthly_fee"]]
    kit.write_users(behind, {"new": next(iter(USERS.values()))}, NOW - timedelta(days=1))


def test_commands_are_refused_at_a_pooler(settings: Settings, behind: Settings) -> None:
    with psycopg.connect(behind.conninfo()) as through, psycopg.connect(settings.conninfo()) as direct:
        assert (is_pooled(through), is_pooled(direct)) == (True, False)
    with pytest.raises(ConfigurationError, match="ASOF_POSTGRES_URL is the address of a connection pooler"):
        check_databases(behind)
    (finding,) = check_sessions(behind, None)
    assert "set it to PostgreSQL's own address" in finding.fix


def test_a_pooler_that_refuses_our_options_is_recognised(settings: Settings, tmp_path: Path) -> None:
    with (
        pooled(settings, tmp_path, ignore_startup_parameters="extra_float_digits") as behind,
        pytest.raises(psycopg.OperationalError) as refused,
    ):
        psycopg.connect(behind.conninfo())
    assert "this is a pooler's" in connection_refused("db", str(refused.value)).fix
