"""The reader of our store returns what Feast returns from both stores: values, timestamps, and what is missing."""

import asyncio
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from asof.errors import AsOfError, FeatureStoreUnavailable
from asof.inference.verdicts import require_usable, timing
from asof.inference.wide_reader import WideReader
from asof.serving.features.online_features import OnlineFeatures
from asof.serving.features.store.feast_api import FeastReader
from asof.serving.features.store.opening import WIDE, open_reader
from asof.settings import PROJECT, Settings
from online_store.schema.layout import read_layout
from online_store.schema.tables import ViewSchema, apply_view
from tests.kits.service import serving as kit
from tests.kits.service.serving import NOW, USER
from tests.kits.store import readers as both
from tests.kits.store.readers import KEEPABLE, KINDS_OF_STORE, STRANGE, readers, store_of, stored, wide
from tests.kits.store.stock import NOBODY, STOCK, found_in, plain

SERVICES = ["churn_v1", "churn_v2", "every_type"]


@pytest.fixture(scope="module")
def registered(settings: Settings) -> Settings:
    both.register(settings)
    both.write(settings, both.drawn_rows(settings, 1))
    return settings


@pytest.mark.parametrize("service", SERVICES)
def test_all_readers_of_both_stores_return_the_same(registered: Settings, service: str) -> None:
    entities = [*KEEPABLE, *NOBODY]
    result = asyncio.run(readers(registered, service).read(entities))
    expected = plain(stored(registered, service, entities))
    for reader, rows in result.items():
        assert plain(rows) == expected, reader
    assert {found.as_of is None for row in result["wide"] for found in found_in(row)} == {True, False}
    assert {found.value is None for row in result["wide"] for found in found_in(row) if found.as_of} == {True, False}


@pytest.mark.parametrize("count", [0, 1, 2, 7, 64, 500])
def test_entities_may_come_in_any_order_and_twice(registered: Settings, count: int) -> None:
    """Including ids with a NUL, which no user has."""
    entities = random.Random(count).choices([*KEEPABLE, *STRANGE], k=count)
    contract = kit.registered_contract(registered, "every_type")
    reader, stock = wide(registered, contract), both.stock(registered, contract)

    async def read() -> Any:
        try:
            columns = await reader.read_columns(entities)
            by_columns = [columns.row(number) for number in range(count)]
            return await reader.read(entities), by_columns, await stock.read(entities)
        finally:
            await reader.close()
            await stock.close()

    rows, by_columns, expected = asyncio.run(read())
    assert len(rows) == count
    assert plain(rows) == plain(by_columns) == plain(expected)


def test_an_id_with_a_lone_surrogate_is_unknown_and_does_not_affect_others(registered: Settings) -> None:
    contract, entities = kit.registered_contract(registered), ["user-1", "\ud800", "half \udfff", "user-2"]
    reader = wide(registered, contract)

    async def read() -> Any:
        try:
            columns = await reader.read_columns(entities)
            by_columns = [columns.row(number) for number in range(len(entities))]
            return await reader.read(entities), by_columns, await reader.read(["user-1", "user-2"])
        finally:
            await reader.close()

    rows, by_columns, alone = asyncio.run(read())
    assert plain(rows) == plain(by_columns)
    assert plain([rows[0], rows[3]]) == plain(alone)
    assert {found.as_of for row in rows[1:3] for found in found_in(row)} == {None}


def test_every_feature_keeps_its_own_timestamp_as_in_the_stock_store(registered: Settings) -> None:
    """Rows written in parts with different timestamps, which Feast's API does not distinguish."""
    users = [f"apart-{number}" for number in range(60)]
    for seed in range(3):
        until = NOW + timedelta(days=200 * seed)
        rows = both.drawn_rows(registered, seed, users=users, whole=False, until=until)
        both.write(registered, rows)
    result = asyncio.run(readers(registered, "every_type").read(users))
    held = stored(registered, "every_type", users)
    assert plain(result["wide"]) == plain(result["wide_columns"]) == plain(held)
    moments = [
        {found.as_of for found in found_in(row) if found.as_of and found.feature.view == "all types"}
        for row in result["wide"]
    ]
    assert max(map(len, moments)) == 3
    values = {name: [[found.value for found in found_in(row)] for row in rows] for name, rows in result.items()}
    assert all(each == [[found.value for found in found_in(row)] for row in held] for each in values.values())


def test_a_later_feature_is_absent_from_earlier_rows(registered: Settings) -> None:
    users = ["before", "after"]
    write_user(registered, *users)
    with psycopg.connect(registered.conninfo(), autocommit=True) as connection:
        add_again(connection, "users_fv", "has_family")
        write_user(registered, "after")
        connection.execute(
            "DELETE FROM online.asof_users_fv WHERE feature_name = 'has_family'"
            " AND position('after'::bytea IN entity_key) = 0"
        )
    result = asyncio.run(readers(registered, "churn_v2").read(users))
    for reader, rows in result.items():
        assert plain(rows) == plain(result["stock_by_feast"]), reader
    absent = [[found.feature.name for found in found_in(row) if found.as_of is None] for row in result["wide"]]
    assert absent == [["has_family"], []]


def write_user(settings: Settings, *users: str) -> None:
    """Writes the complete user under these names to both stores."""
    for kind in KINDS_OF_STORE:
        with store_of(kind):
            kit.write_users(settings, dict.fromkeys(users, USER), NOW)


def add_again(connection: psycopg.Connection[Any], view: str, feature: str) -> None:
    """Drops and adds the feature, as by two `feast apply`."""
    layout = read_layout(connection, "asof", view, schema="online")
    keys, features = ({each.name: each.feast_type for each in kind} for kind in (layout.keys, layout.features))
    without = {name: kind for name, kind in features.items() if name != feature}
    for each in (without, features):
        apply_view(connection, "online", ViewSchema("asof", view, keys, each))


OLD, LATER = NOW - timedelta(days=100), NOW + timedelta(days=1)
WITHOUT = {"usage_agg_30d_fv": {**USER["usage_agg_30d_fv"], "watch_hours_30d": None}}
CASES: dict[str, tuple[dict[str, Any], datetime]] = {
    "good": ({**USER}, NOW),
    "null": ({**USER, **WITHOUT}, NOW),
    "absent": ({"users_fv": USER["users_fv"]}, NOW),
    "stale": ({**USER}, OLD),
    "flagged": ({"payments_agg_90d_fv": USER["payments_agg_90d_fv"]}, OLD),  # with complete rows in the other views
    "future": ({**USER}, LATER),
}
VERDICTS = {
    "good": {"PRESENT"},
    "null": {"PRESENT", "NULL"},
    "absent": {"PRESENT", "NOT_FOUND"},
    "stale": {"PRESENT", "STALE"},
    "flagged": {"PRESENT", "STALE"},
    "future": {"FUTURE"},
    "unknown": {"NOT_FOUND"},
}
ADMITTED = ["good", "flagged"]


def test_the_verdicts_on_both_stores_are_equal(registered: Settings) -> None:
    others = {view: values for view, values in USER.items() if view != "payments_agg_90d_fv"}
    result = []
    for kind in KINDS_OF_STORE:
        with store_of(kind):
            kit.write_users(registered, {"flagged": others}, NOW)
            for user, (views, moment) in CASES.items():
                kit.write_users(registered, {user: views}, moment)
            result.append(asyncio.run(verdicts(registered, list(VERDICTS))))
    stock, ours = result
    assert ours == stock
    assert {user: set(seen) for user, (seen, _, _) in ours.items()} == VERDICTS
    assert [user for user, (_, outcome, _) in ours.items() if isinstance(outcome, list)] == ADMITTED
    assert [user for user, (_, _, good) in ours.items() if good] == ["good"]


async def verdicts(settings: Settings, users: list[str]) -> dict[str, tuple[list[str], Any, bool]]:
    """For each user the verdict of each feature, the outcome of the request, and whether the arrays agree."""
    features = OnlineFeatures(settings, kit.registered_contract(settings))
    await features.start()
    many = await features.lookup_many(users)
    good = many.all_present(features.policies, NOW).tolist()
    result = {}
    for number, user in enumerate(users):
        row = await features.lookup(user)
        readings = row.judged(features.policies, NOW)
        assert readings == many.row(number).judged(features.policies, NOW)
        try:
            outcome: Any = [timing(reading) for reading in require_usable(features.contract.keys, user, readings)]
        except AsOfError as error:
            outcome = (type(error).__name__, str(error))
        result[user] = ([reading.verdict.value for reading in readings], outcome, good[number])
    await features.close()
    return result


@pytest.mark.parametrize(("kind", "table"), [(WIDE, "asof.users_fv"), (WIDE, "wide_layouts"), (STOCK, "asof_users_fv")])
def test_a_missing_table_is_an_error_until_it_exists(registered: Settings, kind: str, table: str) -> None:
    contract = kit.registered_contract(registered)

    async def ask() -> Any:
        with store_of(kind):
            features = OnlineFeatures(registered, contract)
            await features.start()
            before = await features.lookup("user-1"), (await features.lookup_many(["user-1"])).row(0)
            try:
                rename(registered, table, "elsewhere")
                for lookup in (features.lookup("user-1"), features.lookup_many(["user-1"])):
                    with pytest.raises(FeatureStoreUnavailable, match=r"\((NoLayout|UndefinedTable)\)"):
                        await lookup
                rename(registered, "elsewhere", table)
                return before, (await features.lookup("user-1"), (await features.lookup_many(["user-1"])).row(0))
            finally:
                await features.close()

    before, after = asyncio.run(ask())
    assert before == after


def rename(settings: Settings, table: str, name: str) -> None:
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute(f'ALTER TABLE online."{table}" RENAME TO "{name}"'.encode())


def test_keys_of_numbers_are_read_without_feast(registered: Settings) -> None:
    with store_of(WIDE):
        assert isinstance(open_reader(registered, kit.registered_contract(registered, "numbered")), WideReader)


@pytest.mark.parametrize("service", ["mapped", "listed"])
def test_what_only_feast_can_read_is_left_to_feast(registered: Settings, service: str) -> None:
    with store_of(WIDE):
        assert isinstance(open_reader(registered, kit.registered_contract(registered, service)), FeastReader)


def test_more_features_than_one_query_can_return_are_left_to_feast(registered: Settings) -> None:
    contract = kit.registered_contract(registered)
    assert WideReader.can_read(contract)
    assert not WideReader.can_read(replace(contract, features=contract.features * 60))


def test_it_reads_the_same_in_the_services_event_loop(registered: Settings) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(readers(registered, "churn_v2").read(KEEPABLE[:64]))
    assert plain(result["wide"]) == plain(result["wide_columns"]) == plain(result["stock_by_feast"])


SCRIPT = """
import asyncio, json, sys
import asof.features.feature_store, asof.serving.features.store.opening as opening
from asof.features.feature_contract import FeatureContract
from asof.serving.features.online_features import OnlineFeatures
from asof.settings import Settings

configuration = opening.configuration
opening.configuration = lambda settings: (raw := configuration(settings)) | {
    "online_store": raw["online_store"] | {"type": opening.WIDE}
}

async def main():
    features = OnlineFeatures(Settings(), FeatureContract.from_dict(json.loads(sys.argv[1])))
    await features.start()
    print(type(features._require_open().reader).__name__)
    print(sum(moment is not None for moment in (await features.lookup("good")).moments))
    print(sum(moment is not None for moment in (await features.lookup_many(["good"])).row(0).moments))
    await features.close()

asyncio.run(main())
heavy = ("feast", "pandas", "pyarrow", "sklearn", "scipy", "mlflow")
print([name for name in sys.modules if name.startswith(heavy)])
"""


def test_a_serving_process_imports_neither_feast_nor_pandas(registered: Settings) -> None:
    contract = kit.registered_contract(registered)
    write_user(registered, "good")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, json.dumps(contract.to_dict())],
        env=os.environ | registered.environment(),
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    width = str(len(contract.features))
    assert done.stdout.split("\n")[:4] == ["WideReader", width, width, "[]"]
