"""The registry read by SQL equals the one read by Feast; it decides whether the store is read without Feast."""

import contextlib
from collections.abc import Iterator

import psycopg
import pytest
from feast.protos.feast.core.FeatureView_pb2 import FeatureView as FeatureViewMessage
from pydantic import SecretStr

from asof.errors import FeatureContractMismatch
from asof.features.feature_store import configuration, registered_service
from asof.serving.features.store.feast_api import FeastReader, open_feast_reader
from asof.serving.features.store.feast_registry import read_registry
from asof.serving.features.store.opening import WIDE, open_reader
from asof.settings import Settings
from tests.kits.service import serving as kit
from tests.kits.store.readers import register, store_of
from tests.kits.store.stock import STOCK
from training.features.datasets.point_in_time import read_sources


@pytest.fixture(scope="module")
def registered(settings: Settings) -> Settings:
    register(settings)
    return settings


@pytest.mark.parametrize("service", ["churn_v1", "churn_v2", "every_type"])
def test_the_registry_is_read_as_feast_reads_it(registered: Settings, service: str) -> None:
    contract = kit.registered_contract(registered, service)
    read = read_registry(registered.conninfo(), configuration(registered)["project"], service, store=WIDE)
    assert read.contract == contract
    assert read.policies == open_feast_reader(registered, contract).policies
    assert not read.feast_only


@pytest.mark.parametrize("service", ["churn_v1", "churn_v2", "every_type"])
def test_sources_are_read_as_feast_reads_them(
    registered: Settings, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert registered_service(registered, service)
    read = read_sources(registered, service)
    monkeypatch.setattr("training.features.datasets.point_in_time.registered_service", lambda *_: None)
    assert read == read_sources(registered, service)


def test_the_stock_online_store_is_read_through_feast(registered: Settings) -> None:
    with store_of(STOCK):
        assert isinstance(open_reader(registered, kit.registered_contract(registered)), FeastReader)


def test_another_online_store_is_read_through_feast(registered: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = configuration(registered)
    other = raw | {"online_store": {"type": "sqlite", "path": str(registered.home / "online.db")}}
    monkeypatch.setattr("asof.features.feature_store.configuration", lambda _: other)
    monkeypatch.setattr("asof.serving.features.store.opening.configuration", lambda _: other)
    assert isinstance(open_reader(registered, kit.registered_contract(registered)), FeastReader)


@pytest.mark.parametrize(
    ("removal", "words"),
    [
        ("DELETE FROM feature_services", "feature service 'churn_v2' of project 'asof'"),
        ("DELETE FROM feature_views WHERE feature_view_name = 'users_fv'", "feature view 'users_fv'"),
        ("DELETE FROM entities", "entity 'user'"),
        ("DROP TABLE feature_services", "the table 'feature_services'"),
    ],
)
def test_an_object_missing_in_the_registry_is_named_with_the_next_step(
    registered: Settings, removal: str, words: str
) -> None:
    contract = kit.registered_contract(registered)
    with another_database(registered) as copied:
        with psycopg.connect(copied.conninfo()) as connection:
            connection.execute(removal.encode())
        with pytest.raises(FeatureContractMismatch, match=rf"{words}.*feast apply"):
            open_reader(copied, contract)


def test_a_feature_missing_in_its_view_is_named(registered: Settings) -> None:
    contract = kit.registered_contract(registered)
    with another_database(registered) as copied:
        with psycopg.connect(copied.conninfo()) as connection:
            query = "SELECT feature_view_proto FROM feature_views WHERE feature_view_name = 'users_fv'"
            (stored,) = connection.execute(query).fetchone() or ()
            view = FeatureViewMessage.FromString(stored)
            del view.spec.features[0]
            connection.execute(
                "UPDATE feature_views SET feature_view_proto = %s WHERE feature_view_name = 'users_fv'",
                [view.SerializeToString()],
            )
        with pytest.raises(FeatureContractMismatch, match=r"feature '.*' of view 'users_fv'.*feast apply"):
            open_reader(copied, contract)


@contextlib.contextmanager
def another_database(settings: Settings) -> Iterator[Settings]:
    """A copy of the database for the block."""
    name = settings.database().database
    copied = settings.database(f"{name}_copy")
    with psycopg.connect(settings.conninfo("postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{copied.database}" TEMPLATE "{name}"')
        try:
            url = copied.render_as_string(hide_password=False)
            yield settings.model_copy(update={"postgres_url": SecretStr(url)})
        finally:
            connection.execute(f'DROP DATABASE "{copied.database}" WITH (FORCE)')
