"""The store through Feast: apply, push, partial rows, errors, versions, teardown.

What Feast's own tests of online stores ask (sdk/python/tests, universal and integration) is asked here and in
test_wide_store_against_stock.py, in words of our own: test_write_to_online_store, .._event_check (there of Redis
alone), test_connection_pool_online_stores, test_online_retrieval_success, .._with_event_timestamps and its async twin,
.._with_shared_batch_source, test_online_store_cleanup, test_push_features_to_online_store, test_postgres_versioning,
test_postgres_batched_read, test_feature_get_online_features_types_match. Those of vector search, of Redis' TTL and of
cloud stores ask for what this store does not have, and are left out.
"""

import asyncio
import random
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, PushSource, ValueType
from feast.data_source import PushMode
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.online_stores.postgres_online_store.postgres import PostgreSQLOnlineStoreConfig
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.types.Value_pb2 import Value
from feast.stream_feature_view import StreamFeatureView
from feast.types import Array, Float32, Float64, Int32, Int64, String, UnixTimestamp
from pydantic import ValidationError

from asof.settings import Settings
from online_store.errors import InvalidValue, NoLayout, TooManyColumns, Unsupported
from online_store.reading.direct_lookup import Source
from online_store.row_reader import Row, RowReader
from online_store.store import WideOnlineStoreConfig
from tests.kits.store.values import entity, source
from tests.kits.store.wide import SCHEMA, at, disconnect, open_store

USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)


@pytest.fixture
def store(settings: Settings, tmp_path: Path) -> Iterator[FeatureStore]:
    store = open_store(settings, tmp_path)
    yield store
    store.provider.online_store.teardown(store.config, [], [])
    disconnect(store)
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{SCHEMA}" CASCADE'.encode())


def view_of(folder: Path, name: str = "v", **features: Any) -> FeatureView:
    schema = [Field(name=feature, dtype=dtype) for feature, dtype in features.items()]
    return FeatureView(name=name, entities=[USER], schema=schema, source=source(folder))


def put(store: FeatureStore, view: Any, hour: float, values: dict[str, Value], user: str = "u") -> None:
    store.provider.online_write_batch(store.config, view, [(entity(user_id=user), values, at(hour), None)], None)


def read(store: FeatureStore, view: Any, user: str = "u", features: list[str] | None = None) -> Any:
    """The hour of the row, and its Python values."""
    ((moment, values),) = store.provider.online_store.online_read(store.config, view, [entity(user_id=user)], features)
    hour = None if moment is None else (moment - at(0)).total_seconds() / 3600
    return hour, None if values is None else {name: plain(value) for name, value in values.items()}


def plain(value: Value) -> Any:
    kind = value.WhichOneof("val")
    return None if kind is None else getattr(value, kind)


def whole(number: int) -> Value:
    return Value(int64_val=number)


def test_an_older_event_never_replaces_a_newer_one(store: FeatureStore, tmp_path: Path) -> None:
    store.apply([USER, view_of(tmp_path, text=String)])

    def push(user: str, text: str, hour: int) -> None:
        rows = pd.DataFrame({"user_id": [user], "text": [text], "ts": [pd.Timestamp(at(hour))]})
        store.write_to_online_store("v", rows)

    for user, text, hour in (
        ("a", "now", 5),
        ("a", "before", 4),
        ("b", "before", 4),
        ("b", "later", 6),
        ("b", "same", 6),
    ):
        push(user, text, hour)
    asked = store.get_online_features(["v:text"], [{"user_id": "a"}, {"user_id": "b"}]).to_dict()
    assert asked["text"] == ["now", "same"]


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_one_key_in_one_batch_have_the_result_of_single_writes(
    store: FeatureStore, tmp_path: Path, seed: int
) -> None:
    together, alone = view_of(tmp_path, "together", a=Int64, b=Int64), view_of(tmp_path, "alone", a=Int64, b=Int64)
    store.apply([USER, together, alone])
    draw = random.Random(seed)
    rows = []
    for number in range(150):
        given = draw.choice([("a", "b"), ("a", "b"), ("a",), ("b",)])
        created = draw.choice([None, at(draw.randint(0, 3)), at(draw.randint(0, 3))])
        values = {name: whole(number) for name in given}
        rows.append((entity(user_id=str(draw.randint(0, 9))), values, at(draw.randint(0, 4)), created))
    store.provider.online_write_batch(store.config, together, rows, None)
    for row in rows:
        store.provider.online_write_batch(store.config, alone, [row], None)
    for user in map(str, range(10)):
        for features in (None, ["a"], ["b"]):
            assert read(store, together, user, features) == read(store, alone, user, features)


def test_the_timestamp_of_a_row_is_that_of_the_oldest_requested_value(store: FeatureStore, tmp_path: Path) -> None:
    view = view_of(tmp_path, a=Int64, b=Int64, c=Int64)
    store.apply([USER, view])
    put(store, view, 1, {"a": whole(1), "b": whole(2)})
    put(store, view, 3, {"a": whole(9)})
    assert read(store, view) == (1, {"a": 9, "b": 2})
    assert read(store, view, features=["a"]) == (3, {"a": 9})
    assert read(store, view, features=["c"]) == (None, None)
    assert read(store, view, features=["a", "c", "never there"]) == (3, {"a": 9})
    put(store, view, 3, {"c": Value()})
    assert read(store, view, features=["c"]) == (3, {"c": None})
    put(store, view, 4, {})
    assert read(store, view) == (1, {"a": 9, "b": 2, "c": None})


def test_added_features_are_absent_until_written_and_dropped_ones_disappear(
    store: FeatureStore, tmp_path: Path
) -> None:
    old = view_of(tmp_path, a=Int64, b=Int64)
    store.apply([USER, old])
    put(store, old, 1, {"a": whole(1), "b": whole(2)})
    new = view_of(tmp_path, a=Int64, c=Int64)
    store.apply([USER, new])
    assert read(store, new) == (1, {"a": 1})
    assert read(store, old, features=["a", "b"]) == (1, {"a": 1})
    put(store, old, 2, {"a": whole(3), "b": whole(4)}, user="of an old writer")
    assert read(store, new, "of an old writer") == (2, {"a": 3})
    put(store, new, 2, {"a": whole(5), "c": Value()})
    assert read(store, new) == (2, {"a": 5, "c": None})
    store.apply([USER, view_of(tmp_path, a=String, c=Int64)])
    assert read(store, new) == (2, {"c": None})


def test_a_feature_that_another_process_drops_and_adds_again_is_absent_at_once(
    settings: Settings, store: FeatureStore, tmp_path: Path
) -> None:
    view = view_of(tmp_path, a=Int64, b=Int64)
    store.apply([USER, view])
    put(store, view, 1, {"a": whole(1), "b": whole(2)})
    assert read(store, view) == (1, {"a": 1, "b": 2})
    (tmp_path / "other").mkdir()
    other = open_store(settings, tmp_path / "other")
    for features in ({"a": Int64}, {"a": Int64, "b": Int64}):
        other.apply([USER, view_of(tmp_path, **features)])
    assert read(store, view) == (1, {"a": 1})
    disconnect(other)


def test_a_deleted_view_loses_only_its_own_rows_and_is_empty_when_applied_again(
    store: FeatureStore, tmp_path: Path
) -> None:
    first, second = view_of(tmp_path, "first", a=Int64), view_of(tmp_path, "second", a=Int64)
    store.apply([USER, first, second])
    for view in (first, second):
        put(store, view, 1, {"a": whole(1)})
    store.apply([USER, second], objects_to_delete=[first], partial=False)
    assert read(store, second) == (1, {"a": 1})
    with pytest.raises(NoLayout, match="feast apply"):
        read(store, first)
    store.apply([USER, first])
    assert read(store, first) == (None, None)
    assert read(store, second) == (1, {"a": 1})


def test_projects_in_one_schema_do_not_see_each_other(settings: Settings, store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = open_store(settings, tmp_path / "other", project="other")
    view = view_of(tmp_path, a=Int64)
    for number, each in enumerate((store, other)):
        each.apply([USER, view])
        put(each, view, 1, {"a": whole(number)})
    assert [read(each, view) for each in (store, other)] == [(1, {"a": 0}), (1, {"a": 1})]
    other.teardown()
    assert read(store, view) == (1, {"a": 0})
    with pytest.raises(NoLayout):
        read(other, view)
    disconnect(other)


@pytest.mark.filterwarnings("ignore:.*experimental:RuntimeWarning")
def test_push_stream_views_and_on_demand_views_are_written(store: FeatureStore, tmp_path: Path) -> None:
    batch = source(tmp_path)
    pushed = PushSource(name="pushed", batch_source=batch)
    view = FeatureView(name="pushes", entities=[USER], schema=[Field(name="n", dtype=Int64)], source=pushed)
    stream = StreamFeatureView(
        name="streamed",
        entities=[USER],
        schema=[Field(name="s", dtype=Int64)],
        source=PushSource(name="stream", batch_source=batch),
        timestamp_field="ts",
    )

    @on_demand_feature_view(
        sources=[view],
        schema=[Field(name="twice", dtype=Int64)],
        entities=[USER],
        mode="pandas",
        write_to_online_store=True,
    )
    def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"twice": inputs["n"] * 2})

    store.apply([USER, view, stream, doubled])
    moment = [pd.Timestamp(at(1))]
    store.push("pushed", pd.DataFrame({"user_id": ["a"], "n": [3], "ts": moment}), to=PushMode.ONLINE)
    store.push("stream", pd.DataFrame({"user_id": ["a"], "s": [4], "ts": moment}), to=PushMode.ONLINE)
    store.write_to_online_store("doubled", pd.DataFrame({"user_id": ["a"], "n": [3], "twice": [6], "ts": moment}))
    asked = store.get_online_features(["pushes:n", "streamed:s", "doubled:twice"], [{"user_id": "a"}]).to_dict()
    assert (asked["n"], asked["s"], asked["twice"]) == ([3], [4], [6])


def test_rows_materialised_from_a_file_are_read_with_their_timestamps(store: FeatureStore, tmp_path: Path) -> None:
    path = tmp_path / "driven.parquet"
    hours = pd.Series([pd.Timestamp(at(hour)) for hour in (1, 2, 3)])
    pd.DataFrame({"user_id": ["a", "a", "b"], "n": [1, 2, None], "ts": hours, "made": hours}).to_parquet(path)
    files = FileSource(path=str(path), timestamp_field="ts", created_timestamp_column="made")
    view = FeatureView(name="driven", entities=[USER], schema=[Field(name="n", dtype=Float32)], source=files)
    store.apply([USER, view])
    store.materialize(at(0), at(9))
    asked = store.get_online_features(["driven:n"], [{"user_id": user} for user in "abc"])
    assert asked.to_dict(include_event_timestamps=True) == {
        "user_id": ["a", "b", "c"], "user_id__ts": [0, 0, 0], "n": [2.0, None, None],
        "n__ts": [int(at(2).timestamp()), int(at(3).timestamp()), 0],
    }  # fmt: skip


def test_asynchronous_writes_and_reads_do_the_same(store: FeatureStore, tmp_path: Path) -> None:
    store.apply([USER, view_of(tmp_path, n=Int64)])
    rows = pd.DataFrame({"user_id": ["a"], "n": [1], "ts": [pd.Timestamp(at(1))]})

    async def main() -> Any:
        await store.write_to_online_store_async("v", rows)
        found = await asyncio.gather(*(store.get_online_features_async(["v:n"], [{"user_id": "a"}]) for _ in range(30)))
        await store.close()
        return {each.to_dict()["n"][0] for each in found}

    assert asyncio.run(main()) == {1}
    assert asyncio.run(main()) == {1}  # another event loop, the same store


@pytest.mark.parametrize(
    ("dtype", "value", "held"),
    [
        (Int64, Value(int32_val=7), 7),
        (Int32, Value(int64_val=7), 7),
        (Int64, Value(double_val=7.0), 7),
        (Float64, Value(int64_val=7), 7.0),
        (Float32, Value(double_val=0.5), 0.5),
        (Float32, Value(double_val=0.1), 0.10000000149011612),
        (Float32, Value(double_val=float("inf")), float("inf")),
        (UnixTimestamp, Value(int64_val=7), 7),
    ],
)
def test_numbers_of_another_type_are_converted_if_lossless_and_doubles_rounded_to_floats(
    store: FeatureStore, tmp_path: Path, dtype: Any, value: Value, held: Any
) -> None:
    view = view_of(tmp_path, a=dtype)
    store.apply([USER, view])
    put(store, view, 1, {"a": value})
    found = read(store, view)[1]["a"]
    assert (found, type(found)) == (held, type(held))


@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        (Int64, Value(double_val=0.5), "declared INT64.*double_val"),
        (Int32, Value(int64_val=2**31), "declared INT32"),
        (Float32, Value(double_val=1e300), "declared FLOAT.*double_val.*too large"),
        (Float32, Value(int64_val=2**24 + 1), "lose digits"),
        (Float64, Value(int64_val=2**53 + 1), "lose digits"),
        (Int64, Value(double_val=float("nan")), "declared INT64"),
        (Int64, Value(bool_val=True), "bool_val"),
        (String, Value(int64_val=1), "declared STRING.*int64_val"),
        (String, Value(string_val="a\0b"), "NUL"),
        (Array(String), Value(string_val="a"), "declared STRING_LIST"),
        (UnixTimestamp, Value(unix_timestamp_val=2**60), "out of the range"),
    ],
)
def test_an_invalid_value_is_named_and_nothing_of_its_chunk_is_written(
    store: FeatureStore, tmp_path: Path, dtype: Any, value: Value, words: str
) -> None:
    view = view_of(tmp_path, a=dtype)
    store.apply([USER, view])
    rows = [(entity(user_id=user), {"a": each}, at(1), None) for user, each in (("good", Value()), ("bad", value))]
    with pytest.raises(InvalidValue, match=f"Feature a of view v .*{words}"):
        store.provider.online_write_batch(store.config, view, rows, None)
    assert read(store, view, "good") == (None, None)


def test_a_chunk_of_complete_and_partial_rows_is_written_as_a_whole_or_not_at_all(
    store: FeatureStore, tmp_path: Path
) -> None:
    view = view_of(tmp_path, a=Int64, b=Int64)
    store.apply([USER, view])
    both, only_a = {"a": whole(1), "b": whole(2)}, {"a": whole(3)}
    rows = [(entity(user_id=user), each, at(1), None) for user, each in (("u", both), ("u", only_a), ("w", only_a))]
    bad = (entity(user_id="x"), {"a": Value(string_val="no number")}, at(1), None)
    with pytest.raises(InvalidValue, match="Feature a of view v"):
        store.provider.online_write_batch(store.config, view, [*rows, bad], None)
    assert [read(store, view, user) for user in "uw"] == [(None, None)] * 2
    store.provider.online_write_batch(store.config, view, rows, None)
    assert [read(store, view, user) for user in "uw"] == [(1, {"a": 3, "b": 2}), (1, {"a": 3})]


@pytest.mark.parametrize("key", [{"user_id": 7}, {"user_id": "a\0b"}, {"user_id": Value()}, {"other": "a"}])
def test_an_invalid_key_is_an_error_in_writing_and_not_found_in_reading(
    store: FeatureStore, tmp_path: Path, key: dict[str, Any]
) -> None:
    view = view_of(tmp_path, a=Int64)
    store.apply([USER, view])
    with pytest.raises(InvalidValue, match=r"[Jj]oin key"):
        store.provider.online_write_batch(store.config, view, [(entity(**key), {"a": whole(1)}, at(1), None)], None)
    asked = [entity(**key), entity(user_id="u")]
    put(store, view, 1, {"a": whole(1)})
    found = store.provider.online_store.online_read(store.config, view, asked)
    assert [moment for moment, _ in found] == [None, at(1)]


def test_keys_that_are_valid_since_a_change_of_join_keys_are_found_at_once(
    settings: Settings, store: FeatureStore, tmp_path: Path
) -> None:
    view, key, ours = view_of(tmp_path, a=Int64), [entity(user_id=2**40)], store.provider.online_store
    (tmp_path / "other").mkdir()
    other = open_store(settings, tmp_path / "other")

    def key_by(kind: ValueType) -> None:
        other.apply([Entity(name="user", join_keys=["user_id"], value_type=kind), view_of(tmp_path, a=Int64)])

    for read_it in (
        lambda: ours.online_read(store.config, view, key),
        lambda: asyncio.run(ours.online_read_async(store.config, view, key)),
    ):
        key_by(ValueType.INT32)
        assert read_it() == [(None, None)]
        key_by(ValueType.INT64)
        other.provider.online_write_batch(other.config, view, [(*key, {"a": whole(1)}, at(1), None)], None)
        assert read_it() == [(at(1), {"a": whole(1)})]
    disconnect(other)


def test_views_keyed_by_different_entities_are_read_together(store: FeatureStore, tmp_path: Path) -> None:
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
    rates = FeatureView(
        name="rates", entities=[shop], schema=[Field(name="rate", dtype=Float64)], source=source(tmp_path)
    )
    visits = FeatureView(
        name="visits", entities=[shop, USER], schema=[Field(name="n", dtype=Int64)], source=source(tmp_path)
    )
    people = view_of(tmp_path, "people", age=Int32)
    store.apply([USER, shop, rates, visits, people])
    moment = [pd.Timestamp(at(1))]
    store.write_to_online_store("rates", pd.DataFrame({"shop_id": [5], "rate": [0.5], "ts": moment}))
    store.write_to_online_store("visits", pd.DataFrame({"shop_id": [5], "user_id": ["a"], "n": [3], "ts": moment}))
    store.write_to_online_store("people", pd.DataFrame({"user_id": ["a"], "age": [33], "ts": moment}))
    rows = [{"shop_id": 5, "user_id": "a"}, {"shop_id": 6, "user_id": "a"}, {"shop_id": 5, "user_id": "b"}]
    refs = ["rates:rate", "visits:n", "people:age"]
    asked = store.get_online_features(refs, rows).to_dict()
    assert (asked["rate"], asked["n"], asked["age"]) == ([0.5, None, 0.5], [3, None, None], [33, 33, None])

    async def main() -> Any:
        found = await store.get_online_features_async(refs, rows)
        await store.close()
        return found.to_dict()

    assert asyncio.run(main()) == asked


def test_views_that_are_together_wider_than_one_result(store: FeatureStore, tmp_path: Path) -> None:
    views = [view_of(tmp_path, f"w{n}", **{f"w{n}_{each}": Int64 for each in range(700)}) for n in range(3)]
    store.apply([USER, *views, FeatureService(name="all", features=views)])
    for number, view in enumerate(views):
        put(store, view, 1, {each.name: whole(number) for each in view.features})
    asked = store.get_online_features(store.get_feature_service("all"), [{"user_id": "u"}]).to_dict()
    assert [asked[f"w{number}_699"] for number in range(3)] == [[0], [1], [2]]
    with pytest.raises(TooManyColumns):
        store.apply([USER, view_of(tmp_path, "wider", **{f"f{each}": Int64 for each in range(1600)})])


def test_versions_of_a_view_are_kept_side_by_side_where_feast_is_told_to(settings: Settings, tmp_path: Path) -> None:
    store = open_store(settings, tmp_path, registry={"enable_online_feature_view_versioning": True})
    first, second = view_of(tmp_path, a=Int64), view_of(tmp_path, a=Int64, b=String)
    other = view_of(tmp_path, "v_vat", a=Int64)
    for number, view in enumerate((first, second)):
        store.apply([USER, view, other])
        put(store, store.get_feature_view("v"), 1, {"a": whole(number)})
    refs = ["v@v0:a", "v@v1:a", "v:a"]
    found = store.get_online_features(refs, [{"user_id": "u"}], full_feature_names=True).to_dict()
    assert found == {"user_id": ["u"], "v@v0__a": [0], "v@v1__a": [1], "v__a": [1]}
    store.apply([USER, other], objects_to_delete=[second], partial=False)
    with psycopg.connect(settings.conninfo()) as connection:
        left = connection.execute(f'SELECT view FROM "{SCHEMA}".wide_layouts'.encode()).fetchall()
    assert left == [("v_vat",)]
    store.teardown()
    disconnect(store)


def test_the_configuration_of_the_stock_store_is_taken_but_not_its_vectors() -> None:
    where = {"host": "h", "database": "d", "user": "u", "password": "p"}
    stock = PostgreSQLOnlineStoreConfig(**where, vector_enabled=False).model_dump(exclude={"type"})
    ours = WideOnlineStoreConfig(**stock)
    assert ours.model_dump(exclude={"type"}) == stock
    with pytest.raises(ValidationError, match="no vector search"):
        WideOnlineStoreConfig(**where, vector_enabled=True)


def test_teardown_leaves_nothing_but_what_others_need(settings: Settings, tmp_path: Path) -> None:
    def left() -> list[str]:
        query = "SELECT relname::text FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'shop'"
        with psycopg.connect(settings.conninfo()) as connection:
            tables = [name for (name,) in connection.execute(query + " AND relkind IN ('r', 'S') ORDER BY 1")]
            exists = connection.execute("SELECT to_regnamespace('shop') IS NOT NULL").fetchone() == (True,)
        return tables if exists else ["no schema"]

    stores = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        stores.append(open_store(settings, tmp_path / name, project=name, db_schema="shop"))
        stores[-1].apply([USER, view_of(tmp_path, a=Int64)])
    stores[0].teardown()
    assert left() == ["two.v", "wide_layouts", "wide_layouts_versions"]
    stores[1].teardown()
    assert left() == ["no schema"]
    stores[1].teardown()
    stores[1].apply([USER, view_of(tmp_path, a=Int64)])
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute("GRANT USAGE ON SCHEMA shop TO PUBLIC")
    stores[1].teardown()
    assert left() == [], "the grant stays"
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute("DROP SCHEMA shop")
    for each in stores:
        disconnect(each)


def test_vector_search_is_unsupported(store: FeatureStore, tmp_path: Path) -> None:
    view = view_of(tmp_path, a=Array(Float32))
    store.apply([USER, view])
    with pytest.raises(Unsupported, match="type: postgres"):
        store.provider.online_store.retrieve_online_documents(store.config, view, ["a"], [1.0], 2)


def test_the_stock_stores_tables_of_the_same_project_are_not_changed(
    settings: Settings, store: FeatureStore, tmp_path: Path
) -> None:
    (tmp_path / "stock").mkdir()
    stock = open_store(settings, tmp_path / "stock", type="postgres", db_schema="shared")
    wide = open_store(settings, tmp_path, db_schema="shared")
    view = view_of(tmp_path, a=Int64)
    for number, each in enumerate((stock, wide)):
        each.apply([USER, view])
        put(each, view, 1, {"a": whole(number)})
    wide.provider.online_store.teardown(wide.config, [], [])
    assert read(stock, view, features=["a"]) == (1, {"a": 0})
    disconnect(stock)
    disconnect(wide)


def test_ttl_is_left_to_feast(store: FeatureStore, tmp_path: Path) -> None:
    view = view_of(tmp_path, a=Int64)
    view.ttl = timedelta(seconds=1)
    store.apply([USER, view])
    put(store, view, 1, {"a": whole(1)})
    assert read(store, view) == (1, {"a": 1})


DEVICE = Entity(name="device", join_keys=["device"], value_type=ValueType.UUID)
SLOT = Entity(name="slot", join_keys=["slot"], value_type=ValueType.INT32)
UUIDS = [str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number))) for number in range(3)]


def test_a_uuid_is_one_key_however_it_is_written_and_asked_for(
    store: FeatureStore, tmp_path: Path, settings: Settings
) -> None:
    schema = [Field(name="n", dtype=Int64)]
    view = FeatureView(name="by_slot", entities=[DEVICE, SLOT], schema=schema, source=source(tmp_path))
    store.apply([DEVICE, SLOT, view])
    written = [UUIDS[0].upper(), UUIDS[1], UUIDS[0], UUIDS[0]]
    rows = pd.DataFrame({"device": written, "slot": [1, -(2**31), 1, 2], "n": [10, 11, 12, 13]})
    store.write_to_online_store("by_slot", rows.assign(ts=pd.Timestamp(at(1))))
    asked = [(UUIDS[0], 1), (UUIDS[0].upper(), 2), (UUIDS[1].upper(), -(2**31)), (UUIDS[2], 1), (UUIDS[1], 1)]
    found = store.get_online_features(
        features=["by_slot:n"], entity_rows=[{"device": device, "slot": slot} for device, slot in asked]
    )
    assert found.to_dict()["n"] == [12, 13, 11, None, None]
    with psycopg.connect(settings.conninfo()) as connection:
        stored = connection.execute(
            f'SELECT device, slot FROM "{SCHEMA}"."shop.by_slot" ORDER BY n'.encode()
        ).fetchall()
    assert stored == [(uuid.UUID(UUIDS[1]), -(2**31)), (uuid.UUID(UUIDS[0]), 1), (uuid.UUID(UUIDS[0]), 2)]
    keys: dict[str, list[Any]] = {"device": [device for device, _ in asked], "slot": [slot for _, slot in asked]}
    strange = {"device": ["no uuid", 7, UUIDS[0]], "slot": [1, 1, 2**31]}
    for each, expected in ((keys, [12, 13, 11, None, None]), (strange, [None] * 3)):
        assert [values[0] for values, _ in directly(settings, each)] == expected


def directly(settings: Settings, keys: dict[str, list[Any]]) -> list[Row]:
    async def read() -> list[Row]:
        reader = RowReader(Source(settings.conninfo(), SCHEMA, "shop"), [("by_slot", "n")])
        try:
            return await reader.read(keys)
        finally:
            await reader.close()

    return asyncio.run(read())


def test_a_text_that_is_no_uuid_is_not_written(store: FeatureStore, tmp_path: Path) -> None:
    view = FeatureView(
        name="by_device", entities=[DEVICE], schema=[Field(name="n", dtype=Int64)], source=source(tmp_path)
    )
    store.apply([DEVICE, view])
    with pytest.raises(InvalidValue, match="Join key device of view by_device is declared UUID"):
        store.write_to_online_store("by_device", pd.DataFrame({"device": ["x"], "n": [1], "ts": [pd.Timestamp(at(1))]}))
