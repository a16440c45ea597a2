"""Our store compared with Feast's stock store: the same rows written, the same values read.

The stock store writes whatever comes last, so rows come in the order of their moments here; that the wide store keeps
the newest in any order is in test_wide_store_tables.py.
"""

import asyncio
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, ValueType
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp

from asof.settings import Settings
from tests.kits.store.values import FEAST_TYPES, drawn, entity, source, view_of_everything
from tests.kits.store.wide import at, both_stores, disconnect

USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
NAMES = {name.lower(): name for name in FEAST_TYPES}
USERS = [f"user {number}" for number in range(40)] + ["", "o'brien", "Ünïcode-用户-😀", "x" * 2000]
NOBODY = ["nobody", "user", "USER 1", "nul\0inside"]
PRESENT, NOT_FOUND = 1, 3
Both = tuple[FeatureStore, FeatureStore]


@pytest.fixture(scope="module")
def stores(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    both = both_stores(settings, tmp_path_factory.mktemp("feast"))
    yield both
    for store in both:
        disconnect(store)


def write(stores: Both, view: FeatureView, rows: list[Any]) -> None:
    for store in stores:
        store.provider.online_write_batch(store.config, view, rows, None)


def serialized(value: Value) -> bytes:
    """The bytes of a Value: NaN equals itself, -0.0 is not 0.0, and both forms of null are equal."""
    return b"" if value.WhichOneof("val") == "null_val" else value.SerializeToString(deterministic=True)


def one_by_one(store: FeatureStore, view: FeatureView, keys: list[Any]) -> list[Any]:
    """Timestamp and value of each feature of each key, read alone: then the stock store returns its own timestamp."""
    found = []
    for feature in view.features:
        answers = store.provider.online_store.online_read(store.config, view, keys, [feature.name])
        for moment, values in answers:
            found.append((feature.name, moment, None if values is None else serialized(values[feature.name])))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_every_type_null_and_absence_is_read_the_same(
    stores: Both, settings: Settings, tmp_path: Any, seed: int
) -> None:
    draw = random.Random(seed)
    view = view_of_everything(tmp_path, USER)
    for store in stores:
        store.apply([USER, view])
    for hour in range(4):
        rows = []
        for user in draw.sample(USERS, 25) + draw.sample(USERS, 5):  # some twice
            given = NAMES if draw.random() < 0.6 else dict(draw.sample(list(NAMES.items()), draw.randint(0, 8)))
            values = {name: drawn(feast_type, draw) for name, feast_type in given.items()}
            moment = at(seed * 100 + hour + len(rows) / 100)
            naive = moment.replace(tzinfo=None) if draw.random() < 0.5 else moment
            rows.append((entity(user_id=user), values, naive, draw.choice([None, moment])))
        write(stores, view, rows)
    keys = [entity(user_id=user) for user in [*USERS, *NOBODY, *USERS[:3]]]
    wide, stock = (one_by_one(store, view, keys) for store in stores)
    assert wide == stock
    assert len({value for _, _, value in wide}) > 300


def test_every_type_has_been_drawn() -> None:
    draw = random.Random(1)
    for name in FEAST_TYPES:
        kinds = {drawn(name, draw).WhichOneof("val") for _ in range(60)}
        assert len(kinds - {None, "null_val"}) == 1, name


def frame(draw: np.random.Generator, users: list[str]) -> pd.DataFrame:
    """A table to push, with nulls in every column."""
    count = len(users)
    columns = {
        "whole": draw.integers(-(10**12), 10**12, count).astype(object),
        "small": draw.integers(-100, 100, count).astype(object),
        "real": draw.normal(size=count),
        "single": draw.normal(size=count).astype(np.float32),
        "text": np.array([f"text {each}" for each in draw.integers(0, 99, count)], dtype=object),
        "flag": (draw.random(count) < 0.5).astype(object),
        "raw": np.array([bytes([each]) for each in draw.integers(0, 99, count)], dtype=object),
    }
    rows = pd.DataFrame({"user_id": users, **columns})
    for name in columns:
        rows.loc[draw.random(count) < 0.2, name] = None
    rows["when"] = pd.Series([pd.Timestamp(at(float(each))) for each in draw.integers(0, 9999, count)])
    rows["list"] = [list(map(float, draw.normal(size=draw.integers(1, 4)))) for _ in range(count)]
    rows["texts"] = [["a", "", "ü"][: draw.integers(1, 4)] for _ in range(count)]
    rows["ts"] = [pd.Timestamp(at(int(each))) for each in draw.integers(0, 9999, count)]
    return rows


SCHEMA_OF_FRAME = {
    "whole": Int64, "small": Int32, "real": Float64, "single": Float32, "text": String, "flag": Bool, "raw": Bytes,
    "when": UnixTimestamp, "list": Array(Float64), "texts": Array(String),
}  # fmt: skip


def test_pushed_tables_are_read_the_same_by_every_method(stores: Both, tmp_path: Any) -> None:
    schema = [Field(name=name, dtype=dtype) for name, dtype in SCHEMA_OF_FRAME.items()]
    first = FeatureView(name="first", entities=[USER], schema=schema, source=source(tmp_path))
    second = FeatureView(name="second", entities=[USER], schema=schema[:4], source=source(tmp_path))
    never = FeatureView(name="never", entities=[USER], schema=schema[:2], source=source(tmp_path))
    service = FeatureService(name="mixed", features=[second[["real", "whole"]], first.with_name("alias"), never])
    rows = frame(np.random.default_rng(5), USERS)
    asked = [*USERS[::-1], *NOBODY[:3], *USERS[:2]]
    responses = []
    for store in stores:
        store.apply([USER, first, second, never, service])
        store.write_to_online_store("first", rows)
        store.write_to_online_store("second", rows[["user_id", *list(SCHEMA_OF_FRAME)[:4], "ts"]].head(20))
        entities = [{"user_id": user} for user in asked]
        for features in (store.get_feature_service("mixed"), ["first:text"], ["second:real", "first:list"]):
            responses.append(store.get_online_features(features, entities, full_feature_names=True).proto)
            responses.append(asyncio.run(asked_async(store, features, entities)).proto)
    half = len(responses) // 2
    for wide, stock in zip(responses[:half], responses[half:], strict=True):
        assert unfolded(wide) == unfolded(stock)
    assert {status for column in unfolded(responses[0]).values() for _, status, _ in column} == {
        1,
        3,
    }  # PRESENT, NOT_FOUND


async def asked_async(store: FeatureStore, features: Any, entities: list[dict[str, Any]]) -> Any:
    try:
        return await store.get_online_features_async(features, entities, full_feature_names=True)
    finally:
        online = store.provider.online_store
        await online.close()
        if getattr(online, "_conn_async", None) is not None:
            await online._conn_async.close()
            online._conn_async = None


def unfolded(proto: Any) -> dict[str, list[Any]]:
    """For each feature every value, status and timestamp."""
    names = proto.metadata.feature_names.val
    return {
        name: [
            (serialized(value), status, moment.ToNanoseconds())
            for value, status, moment in zip(each.values, each.statuses, each.event_timestamps, strict=True)
        ]
        for name, each in zip(names, proto.results, strict=True)
    }


MOMENT = {name: Value(unix_timestamp_val=each) for name, each in (("long ago", -(10**10)), ("once", 1_700_000_000))}
KEYED: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "whole": ({"a": Int64}, [{"a": each} for each in (0, -1, 2**63 - 1, -(2**63), 7)]),
    "small": ({"a": Int32}, [{"a": Value(int32_val=each)} for each in (0, -1, 2**31 - 1, -(2**31))]),
    "text": ({"a": String}, [{"a": each} for each in ("", "7", "é", "e\u0301", "x" * 2500)]),
    "raw": ({"a": Bytes}, [{"a": each} for each in (b"", b"\x00", b"7")]),
    "moment": ({"a": UnixTimestamp}, [{"a": each} for each in MOMENT.values()]),
    "several": ({"b": String, "a": Int64, "c": Bytes}, [{"a": a, "b": b, "c": b"c"} for a in (1, 2) for b in "12"]),
}  # fmt: skip


@pytest.mark.parametrize("name", KEYED)
def test_join_keys_of_every_type_find_their_rows_and_no_others(stores: Both, tmp_path: Any, name: str) -> None:
    dtypes, keys = KEYED[name]
    entities = [
        Entity(name=f"{name}_{key}", join_keys=[key], value_type=dtype.to_value_type()) for key, dtype in dtypes.items()
    ]
    schema = [Field(name="n", dtype=Int64), *(Field(name=key, dtype=dtype) for key, dtype in dtypes.items())]
    view = FeatureView(name=f"by_{name}", entities=entities, schema=schema, source=source(tmp_path))
    for store in stores:
        store.apply([*entities, view])
    write(
        stores, view, [(entity(**key), {"n": Value(int64_val=number)}, at(1), None) for number, key in enumerate(keys)]
    )
    others = [entity(**dict.fromkeys(dtypes, "of another kind")), entity(**dict.fromkeys(dtypes, 99))]
    reversed_ = [entity(**dict(reversed(key.items()))) for key in keys]
    asked = [*(entity(**key) for key in keys), *others, *reversed_]
    wide, stock = (one_by_one(store, view, asked) for store in stores)
    assert wide == stock
    assert [value for _, _, value in wide].count(None) == 2


def test_a_view_without_an_entity_has_one_row(stores: Both, tmp_path: Any) -> None:
    rate = [Field(name="rate", dtype=Float64)]
    view = FeatureView(name="everywhere", entities=[], schema=rate, source=source(tmp_path))
    other = FeatureView(name="own", entities=[USER], schema=[Field(name="n", dtype=Int64)], source=source(tmp_path))
    answers = []
    for store in stores:
        store.apply([USER, view, other])
        rows = [(entity(__dummy_id=""), {"rate": Value(double_val=0.5)}, at(1), None)]
        store.provider.online_write_batch(store.config, store.get_feature_view("everywhere"), rows, None)
        store.write_to_online_store("own", pd.DataFrame({"user_id": ["a"], "n": [3], "ts": [pd.Timestamp(at(1))]}))
        response = store.get_online_features(["everywhere:rate", "own:n"], [{"user_id": "a"}, {"user_id": "b"}])
        answers.append(unfolded(response.proto))
    assert answers[0] == answers[1]
    assert [status for _, status, _ in answers[0]["rate"]] == [1, 1]
    # Pushed rows have no key, so that the stock store does not find them.
    stores[0].write_to_online_store("everywhere", pd.DataFrame({"rate": [0.75], "ts": [pd.Timestamp(at(2))]}))
    assert stores[0].get_online_features(["everywhere:rate"], [{"user_id": "a"}]).to_dict()["rate"] == [0.75]


def test_a_projection_with_a_join_key_map_reads_under_its_own_names(stores: Both, tmp_path: Any) -> None:
    view = FeatureView(name="people", entities=[USER], schema=[Field(name="n", dtype=Int64)], source=source(tmp_path))
    service = FeatureService(name="pair", features=[
        view.with_name("buyer").with_join_key_map({"user_id": "buyer_id"}),
        view.with_name("seller").with_join_key_map({"user_id": "seller_id"}),
    ])  # fmt: skip
    answers = []
    for store in stores:
        store.apply([USER, view, service])
        rows = pd.DataFrame({"user_id": ["a", "b"], "n": [1, 2], "ts": [pd.Timestamp(at(1))] * 2})
        store.write_to_online_store("people", rows)
        entities = [{"buyer_id": "a", "seller_id": "b"}, {"buyer_id": "b", "seller_id": "c"}]
        answers.append(store.get_online_features(service, entities, full_feature_names=True).to_dict())
    assert answers[0] == answers[1]
    assert (answers[0]["buyer__n"], answers[0]["seller__n"]) == ([1, 2], [2, None])


def test_tens_of_thousands_of_keys_are_returned_in_their_order(stores: Both, tmp_path: Any) -> None:
    view = FeatureView(name="many", entities=[USER], schema=[Field(name="n", dtype=Int64)], source=source(tmp_path))
    for store in stores:
        store.apply([USER, view])
    count = 30_000
    progress: list[int] = []
    rows = [(entity(user_id=str(each)), {"n": Value(int64_val=each)}, at(1), None) for each in range(count)]
    wide = stores[0]
    wide.provider.online_write_batch(wide.config, view, rows, progress.append)
    assert progress == [10_000] * 3
    asked = [str(each) for each in random.Random(2).sample(range(count + 2000), count)] * 2
    found = wide.provider.online_store.online_read(wide.config, view, [entity(user_id=each) for each in asked], ["n"])
    assert [values and values["n"].int64_val for _, values in found] == [
        int(each) if int(each) < count else None for each in asked
    ]


def test_timestamps_are_kept_to_the_microsecond(stores: Both, tmp_path: Any) -> None:
    view = FeatureView(name="exact", entities=[USER], schema=[Field(name="n", dtype=Int64)], source=source(tmp_path))
    moments = [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
        at(0) + timedelta(microseconds=1),
    ]
    for store in stores:
        store.apply([USER, view])
    rows = [(entity(user_id=str(n)), {"n": Value(int64_val=n)}, each, None) for n, each in enumerate(moments)]
    write(stores, view, rows)
    wide, stock = (one_by_one(store, view, [row[0] for row in rows]) for store in stores)
    assert wide == stock
