"""The reader of Feast's own PostgreSQL tables gives what Feast's API gives: value by value, moment by moment."""

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from feast.protos.feast.core.FeatureView_pb2 import FeatureView as FeatureViewMessage
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from asof.errors import FeatureContractMismatch, FeatureStoreUnavailable
from asof.features.feature_store import configuration
from asof.inference.verdicts import FoundRow
from asof.serving.features.online_features import OnlineFeatures
from asof.serving.features.store.feast_api import FeastReader
from asof.serving.features.store.feast_registry import Registered, read_registry
from asof.serving.features.store.opening import STOCK, open_reader
from asof.serving.features.store.stock import Keys, lookup_query
from asof.settings import PROJECT, Settings
from online_store.reading.prepared_queries import PLANNING
from tests.kits.service import serving as kit
from tests.kits.service.serving import NOW, USER
from tests.kits.store.stock import NOBODY, USERS, both, key, plain, register, stock


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """On Feast's own online store: it is its tables that are damaged and locked here."""
    return settings.model_copy(update={"online_store": "postgres"})


@pytest.fixture(scope="module")
def registered(settings: Settings) -> Settings:
    register(settings)
    return settings


SERVICES = ["churn_v1", "churn_v2", "every_type"]


@pytest.mark.parametrize("service", SERVICES)
def test_every_value_and_moment_is_the_one_that_feast_gives(registered: Settings, service: str) -> None:
    entities = [*USERS, *NOBODY]
    ours, theirs = asyncio.run(both(registered, service).read(entities))
    assert plain(ours) == plain(theirs)
    assert {found.as_of is None for row in ours for found in row} == {True, False}
    assert {found.value is None for row in ours for found in row if found.as_of} == {True, False}


@pytest.mark.parametrize("count", [1, 2, 7, 64, 500])
def test_entities_may_come_in_any_order_and_twice(registered: Settings, count: int) -> None:
    entities = random.Random(count).choices([*USERS, *NOBODY], k=count)
    ours, theirs = asyncio.run(both(registered, "every_type").read(entities))
    assert plain(ours) == plain(theirs)


@pytest.mark.parametrize("service", SERVICES)
def test_the_registry_is_read_as_feast_reads_it(registered: Settings, service: str) -> None:
    readers = both(registered, service)
    read = directly_read(registered, service)
    assert read.contract == readers.contract
    assert read.policies == readers.feast.policies
    assert not read.beyond


def directly_read(settings: Settings, service: str) -> Registered:
    return read_registry(settings.conninfo(), configuration(settings)["project"], service, store=STOCK)


@pytest.mark.parametrize("service", ["mapped", "numbered", "listed"])
def test_what_only_feast_itself_does_is_left_to_feast(registered: Settings, service: str) -> None:
    assert isinstance(open_reader(registered, kit.registered_contract(registered, service)), FeastReader)


def test_another_online_store_is_read_through_feast(registered: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = configuration(registered)
    other = raw | {"online_store": {"type": "sqlite", "path": str(registered.home / "online.db")}}
    monkeypatch.setattr("asof.features.feature_store.configuration", lambda _: other)
    monkeypatch.setattr("asof.serving.features.store.opening.configuration", lambda _: other)
    assert isinstance(open_reader(registered, kit.registered_contract(registered)), FeastReader)


@given(st.text(), st.sampled_from(["user_id", "kundennümmer"]))
def test_a_key_is_the_one_that_feast_makes(entity: str, join_key: str) -> None:
    assert Keys(join_key, 3).key(entity) == key(join_key, entity)


def test_an_id_that_is_no_unicode_is_nobodys_and_harms_no_other(registered: Settings) -> None:
    async def ask() -> list[FoundRow]:
        reader = stock(registered, kit.registered_contract(registered))
        try:
            return [*await reader.read(["user-1", "\ud800", "user-2"]), *await reader.read(["user-1", "user-2"])]
        finally:
            await reader.close()

    first, strange, second, *alone = asyncio.run(ask())
    assert {found.as_of for found in strange} == {None}
    assert plain([first, second]) == plain(alone)


def test_a_value_written_apart_from_its_view_keeps_its_own_moment(registered: Settings) -> None:
    kit.write_users(registered, {"apart": USER}, NOW)
    changed = NOW - timedelta(days=300)
    with psycopg.connect(registered.conninfo()) as connection:
        connection.execute(
            "UPDATE online.asof_usage_agg_30d_fv SET event_ts = %s WHERE entity_key = %s AND feature_name = 'skips_7d'",
            [changed, key("user_id", "apart")],
        )

    async def ask() -> FoundRow:
        reader = stock(registered, kit.registered_contract(registered))
        try:
            (row,) = await reader.read(["apart"])
        finally:
            await reader.close()
        return row

    moments = {found.feature.name: found.as_of for found in asyncio.run(ask())}
    assert moments["skips_7d"] == changed
    assert moments["watch_hours_30d"] == NOW


def test_each_table_is_read_by_its_index_even_if_it_was_found_empty(registered: Settings) -> None:
    with psycopg.connect(registered.conninfo(), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE online.asof_never_materialised")
    read = directly_read(registered, "every_type")
    query = lookup_query(read.contract, [f"asof_{view}" for view in read.contract.views])
    options = " ".join(f"-c {name}={value}" for name, value in PLANNING.items())
    with psycopg.connect(registered.conninfo(), options=f"-c search_path=online {options}") as connection:
        connection.execute(f"PREPARE lookup (bytea[]) AS {query}")
        plan = "\n".join(line for (line,) in connection.execute("EXPLAIN EXECUTE lookup (ARRAY['x'::bytea])"))
    assert plan.count("Index") >= len(read.contract.views) == 4
    assert "Seq Scan" not in plan


def test_it_reads_alike_under_the_loop_of_the_service(registered: Settings) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ours, theirs = runner.run(both(registered, "churn_v2").read(USERS[:64]))
    assert plain(ours) == plain(theirs)


@pytest.mark.parametrize(
    ("removal", "words"),
    [
        ("DELETE FROM feature_services", "feature service 'churn_v2' of project 'asof'"),
        ("DELETE FROM feature_views WHERE feature_view_name = 'users_fv'", "feature view 'users_fv'"),
        ("DELETE FROM entities", "entity 'user'"),
        ("DROP TABLE feature_services", "the table 'feature_services'"),
    ],
)
def test_what_the_registry_lacks_is_named_with_the_next_step(registered: Settings, removal: str, words: str) -> None:
    contract = kit.registered_contract(registered)
    with another_database(registered) as copied:
        with psycopg.connect(copied.conninfo()) as connection:
            connection.execute(removal)
        with pytest.raises(FeatureContractMismatch, match=rf"{words}.*feast apply"):
            open_reader(copied, contract)


def test_a_feature_that_its_view_no_longer_has_is_named(registered: Settings) -> None:
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
    """A copy of the database, for as long as the block runs."""
    name = settings.database().database
    copied = settings.database(f"{name}_copy")
    with psycopg.connect(settings.conninfo("postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{copied.database}" TEMPLATE "{name}"')
        try:
            url = copied.render_as_string(hide_password=False)
            yield settings.model_copy(update={"postgres_url": SecretStr(url)})
        finally:
            connection.execute(f'DROP DATABASE "{copied.database}" WITH (FORCE)')


def test_a_table_that_is_not_there_is_told_and_found_when_it_is(registered: Settings) -> None:
    contract = kit.registered_contract(registered)

    async def ask() -> Any:
        features = OnlineFeatures(registered, contract)
        await features.start()
        before = await features.find("user-1")
        try:
            rename(registered, "asof_users_fv", "elsewhere")
            with pytest.raises(FeatureStoreUnavailable, match="UndefinedTable"):
                await features.find("user-1")
            rename(registered, "elsewhere", "asof_users_fv")
            return before, await features.find("user-1")
        finally:
            await features.close()

    before, after = asyncio.run(ask())
    assert before == after


def rename(settings: Settings, table: str, name: str) -> None:
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute(f"ALTER TABLE online.{table} RENAME TO {name}")


SCRIPT = """
import asyncio, sys
from asof.features.feature_contract import FeatureContract
from asof.serving.features.online_features import OnlineFeatures
from asof.settings import Settings
import json

async def main():
    features = OnlineFeatures(Settings(), FeatureContract.from_dict(json.loads(sys.argv[1])))
    await features.start()
    print(sum(found.as_of is not None for found in await features.find("good")))
    await features.close()

asyncio.run(main())
heavy = ("feast", "pandas", "pyarrow", "sklearn", "scipy", "mlflow")
print([name for name in sys.modules if name.startswith(heavy)])
"""


def test_a_process_that_looks_up_holds_neither_feast_nor_pandas(registered: Settings) -> None:
    contract = kit.registered_contract(registered)
    kit.write_users(registered, {"good": USER}, NOW)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, json.dumps(contract.to_dict())],
        env=os.environ | registered.environment(),
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == [str(len(contract.features)), "[]"]
