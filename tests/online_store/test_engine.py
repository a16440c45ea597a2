"""Our compute engine compared with Feast's: the same rows in our store, the same results as from the stock store."""

import math
import random
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from feast import Entity, FeatureView, Field, ValueType
from feast.data_source import PushSource
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp

from asof.settings import Settings
from online_store.engine import WideComputeEngine, WideComputeEngineConfig
from tests.kits.store import engine as kit
from tests.kits.store.engine import END, START, at

Connection = psycopg.Connection[Any]


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute("DROP TABLE IF EXISTS source")
        for schema in ("stock", "by_feast", "by_us"):
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())
            connection.execute(f"CREATE SCHEMA {schema}".encode())
        yield connection


@pytest.fixture
def feasts_own(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The views that our engine leaves to Feast's."""
    left: list[str] = []
    real = LocalComputeEngine._materialize_one

    def watched(self: Any, registry: Any, task: Any, **options: Any) -> Any:
        if isinstance(self, WideComputeEngine):
            left.append(task.feature_view.name)
        return real(self, registry, task, **options)

    monkeypatch.setattr(LocalComputeEngine, "_materialize_one", watched)
    return left


USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
SOURCE = PostgreSQLSource(name="source", table="source", timestamp_field="as_of", created_timestamp_column="created")


def view_of(fields: dict[str, Any], *, source: Any = SOURCE, entities: Sequence[Entity] = (USER,)) -> FeatureView:
    schema = [Field(name=name, dtype=dtype) for name, dtype in fields.items()]
    return FeatureView(name="facts", entities=list(entities), ttl=timedelta(0), schema=schema, source=source)


def compared(
    connection: Connection,
    stores: kit.Stores,
    view: FeatureView,
    entities: Sequence[dict[str, Any]],
    used: Sequence[Entity] = (USER,),
) -> list[dict[str, Any]]:
    """Materialises into all three; returns the rows that our engine wrote, which must equal those of Feast's."""
    for store in stores.every:
        store.apply([*used, view])
        store.materialize(START, END)
    ours, theirs = (kit.rows_of(connection, store, view.name) for store in (stores.by_us, stores.by_feast))
    assert len(ours) == len(theirs)
    assert [
        (column, repr(mine), repr(row[column]))  # repr: 0.0 is not -0.0
        for whole, row in zip(ours, theirs, strict=True)
        for column, mine in whole.items()
        if repr(mine) != repr(row[column]) and not _next_to(mine, row[column], column)
    ] == []
    answers, expected = (kit.answers(store, view, entities) for store in (stores.by_us, stores.stock))
    for name, column in answers.items():
        if name != "exact":
            assert column == expected[name], name
    return ours


def _next_to(ours: Any, theirs: Any, column: str) -> bool:
    """PostgreSQL rounds a numeric to the nearest double; Arrow, which Feast uses, does not."""
    return column == "exact" and abs(ours - theirs) <= math.ulp(theirs)


REALS = [0.0, -0.0, 0.1, 1e300, -1e300, 1e-300, 3.4028235677973362e38, 3.4028235677973366e38, 7.0064923216240853e-46,
         7.1e-46, 1e-40, float("inf"), float("-inf"), float("nan"), 16777217.0]  # fmt: skip
SINGLES = [0.0, -0.0, 0.1, 3e38, 1e-40, float("inf"), float("nan")]
INTS = [0, 1, -1, 2**31 - 1, -(2**31)]
BIGS = [*INTS, 2**53, -(2**53)]
TEXTS = ["", " ", "no", "Ünïcode-用户-😀", "back\\slash\n\t", "{1,NULL}", "x" * 3000]
MOMENTS = [at(0), at(0) + timedelta(microseconds=999_999), at(-24 * 365 * 60) + timedelta(microseconds=1)]
NUMBERS = [Decimal("0"), Decimal("18.25"), Decimal("-0.1"), Decimal("123456.7891")]

# Column: its type in PostgreSQL, the feature's type in Feast, values.
EVERY: dict[str, tuple[str, Any, list[Any]]] = {
    "bool": ("boolean", Bool, [True, False]),
    "small32": ("smallint", Int32, [0, -1, 2**15 - 1]),
    "int32": ("integer", Int32, INTS),
    "small64": ("smallint", Int64, [0, -1, 2**15 - 1]),
    "int64": ("integer", Int64, INTS),
    "big64": ("bigint", Int64, BIGS),
    "double": ("double precision", Float64, REALS),
    "int_double": ("integer", Float64, INTS),
    "big_double": ("bigint", Float64, BIGS),
    "exact": ("numeric", Float64, NUMBERS),
    "single": ("real", Float32, SINGLES),
    "double_single": ("double precision", Float32, REALS),
    "int_single": ("integer", Float32, [*INTS, 16777217]),
    "exact_single": ("numeric(12, 4)", Float32, NUMBERS),
    "text": ("text", String, TEXTS),
    "varchar": ("varchar(5000)", String, TEXTS),
    "bytes": ("bytea", Bytes, [b"", b"\0\xff", b"x" * 3000]),
    "aware": ("timestamptz", UnixTimestamp, MOMENTS),
    "naive": ("timestamp", UnixTimestamp, [each.replace(tzinfo=None) for each in MOMENTS]),
    "day": ("date", UnixTimestamp, [date(1969, 7, 20), date(2026, 2, 28)]),
    "bools": ("boolean[]", Array(Bool), [[True], [], [False, True]]),
    "ints32": ("integer[]", Array(Int32), [[1], [], INTS]),
    "ints64": ("bigint[]", Array(Int64), [[1], [], [2**63 - 1, -(2**63)]]),
    "doubles": ("double precision[]", Array(Float64), [[0.5], [], [1e300, float("inf")]]),
    "singles": ("real[]", Array(Float32), [[0.5], [], [0.1, 3e38]]),
    "texts": ("text[]", Array(String), [["a"], [], ["", "NULL", 'quo"ted', "{}"]]),
    "blobs": ("bytea[]", Array(Bytes), [[b"a"], [], [b"", b"\0"]]),
}


def test_every_type_is_converted_as_feast_does(
    connection: Connection, settings: Settings, tmp_path: Path, feasts_own: list[str]
) -> None:
    draw = random.Random(7)
    columns = ", ".join(f'"{name}" {pg_type}' for name, (pg_type, _, _) in EVERY.items())
    connection.execute(
        f"CREATE TABLE source (user_id text, as_of timestamptz, created timestamptz, {columns})".encode()
    )
    most = max(len(values) for _, _, values in EVERY.values())
    rows = []
    for number in range(4 * most):
        row = [values[number % len(values)] for _, _, values in EVERY.values()]
        # The first rows have all values and no nulls; in the others a third is null.
        rows.append([None if number > most and draw.random() < 0.3 else each for each in row])
    fill(connection, [(f"u{n}", at(n), at(n + 1), *row) for n, row in enumerate(rows)])
    view = view_of({name: dtype for name, (_, dtype, _) in EVERY.items()})
    with kit.open_stores(settings, tmp_path, zone="Asia/Tokyo") as stores:
        written = compared(connection, stores, view, [{"user_id": f"u{n}"} for n in range(len(rows) + 1)])
    assert len(written) == len(rows)
    assert not feasts_own


def test_types_that_sql_converts_differently_are_left_to_feast(
    connection: Connection, settings: Settings, tmp_path: Path, feasts_own: list[str]
) -> None:
    """Feast truncates 2.7 to 2, PostgreSQL rounds to 3; Feast keeps the padding of character(n), SQL does not."""
    connection.execute(
        b"CREATE TABLE source (user_id text, as_of timestamptz, created timestamptz, x numeric, c char(4))"
    )
    fill(connection, [("u", at(0), at(0), Decimal("2.7"), "ab")])
    with kit.open_stores(settings, tmp_path) as stores:
        for fields, expected in (({"x": Int64}, 2), ({"c": String}, "ab  ")):
            (row,) = compared(connection, stores, view_of(fields), [{"user_id": "u"}])
            assert row[next(iter(fields))] == expected
    assert feasts_own == ["facts", "facts"]


def test_a_view_that_does_more_than_copy_is_left_to_feast(
    connection: Connection, settings: Settings, tmp_path: Path, feasts_own: list[str]
) -> None:
    connection.execute(b"CREATE TABLE source (user_id text, as_of timestamptz, created timestamptz, n bigint)")
    fill(connection, [("u", at(0), at(0), 3)])
    view = view_of({"n": Int64})
    view.enable_validation = True
    with kit.open_stores(settings, tmp_path) as stores:
        (row,) = compared(connection, stores, view, [{"user_id": "u"}])
    assert row["n"] == 3
    assert feasts_own == ["facts"]


def test_a_list_that_holds_a_null_or_a_list_fails(
    connection: Connection, settings: Settings, tmp_path: Path, feasts_own: list[str]
) -> None:
    """Feast replaces a null in a list by an empty value; for integers there is none, and the job fails."""
    connection.execute(
        b"CREATE TABLE source (user_id text, as_of timestamptz, created timestamptz,"
        b" t text[], b bool[], f float8[], n int8[])"
    )
    fill(connection, [("u", at(0), at(0), ["a", None], [None, True], [1.5, None], [1])])
    view = view_of({"t": Array(String), "b": Array(Bool), "f": Array(Float64)})
    with kit.open_stores(settings, tmp_path) as stores:
        (row,) = compared(connection, stores, view, [{"user_id": "u"}])
        assert (row["t"], row["b"], str(row["f"])) == (["a", ""], [False, True], "[1.5, nan]")
        for broken in ("{1,NULL}", "{{1},{2}}"):
            connection.execute("UPDATE source SET n = %s, as_of = as_of + interval '1 day'", (broken,))
            stores.by_us.apply([USER, view_of({"n": Array(Int64)})])
            with pytest.raises(psycopg.DataError, match=r"a list that holds a null, or lists"):
                stores.by_us.materialize(START, END)
    assert not feasts_own


def fill(connection: Connection, rows: Sequence[Sequence[Any]], table: str = "source") -> None:
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(rows[0]))})", rows)


def test_several_keys_mapped_names_and_no_created_column(
    connection: Connection, settings: Settings, tmp_path: Path, feasts_own: list[str]
) -> None:
    connection.execute(b'CREATE TABLE source ("Shop" int, item varchar(9), paid boolean, sold bigint, at timestamp)')
    rows = [(n % 3, f"i{n % 5}", n % 2 == 0, n, at(24 + n % 7).replace(tzinfo=None)) for n in range(100)]
    fill(connection, [row for row in rows if row[3] % 35 < 15])  # each pair of key and timestamp once
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
    item = Entity(name="item", join_keys=["item"], value_type=ValueType.STRING)
    mapping = {"Shop": "shop_id", "sold": "number", "at": "event_timestamp"}
    source = PostgreSQLSource(name="s", table="source", timestamp_field="event_timestamp", field_mapping=mapping)
    view = view_of({"number": Int64, "paid": Bool}, source=source, entities=(item, shop))
    entities = [{"shop_id": n, "item": f"i{m}"} for n in range(4) for m in range(5)]
    with kit.open_stores(settings, tmp_path) as stores:
        written = compared(connection, stores, view, entities, (shop, item))
    assert len(written) == 15
    assert {row["created_ts"] for row in written} == {None}
    assert not feasts_own


def test_a_view_without_entities_has_its_newest_row(
    connection: Connection, settings: Settings, tmp_path: Path, feasts_own: list[str]
) -> None:
    connection.execute(b"CREATE TABLE source (rate float8, as_of timestamptz, created date)")
    fill(connection, [(n / 2, at(n), date(2026, 1, 3)) for n in range(10)])
    view = view_of({"rate": Float64}, entities=())
    with kit.open_stores(settings, tmp_path) as stores:
        (row,) = compared(connection, stores, view, [{"whoever": "asks"}], ())
    assert (row["rate"], row["event_ts"]) == (4.5, at(9))
    assert not feasts_own


def test_the_newest_of_all_rows_of_a_view_without_entities_wins(
    connection: Connection, settings: Settings, tmp_path: Path
) -> None:
    """Feast's engine fails here: it pulls all rows, which have no key."""
    connection.execute(b"CREATE TABLE source (rate float8, as_of timestamptz, created date)")
    fill(connection, [(n / 2, at(n), date(2026, 1, 3)) for n in range(10)])
    with kit.open_store(settings, tmp_path, "by_us", latest=False) as store:
        store.apply([view_of({"rate": Float64}, entities=())])
        store.materialize(START, END)
        (row,) = kit.rows_of(connection, store, "facts")
    assert (row["rate"], row["event_ts"]) == (4.5, at(9))


def test_a_view_with_a_push_source_is_filled_from_its_batch_source(
    connection: Connection, settings: Settings, tmp_path: Path, feasts_own: list[str]
) -> None:
    connection.execute(b"CREATE TABLE source (user_id text, as_of timestamptz, created timestamptz, n bigint)")
    fill(connection, [(f"u{n}", at(n), at(n), n) for n in range(6)])
    view = view_of({"n": Int64}, source=PushSource(name="pushed", batch_source=SOURCE))
    with kit.open_stores(settings, tmp_path) as stores:
        written = compared(connection, stores, view, [{"user_id": f"u{n}"} for n in range(7)])
    assert [row["n"] for row in written] == list(range(6))
    assert not feasts_own


def test_the_settings_of_the_offline_stores_connections_are_kept(
    connection: Connection, settings: Settings, tmp_path: Path, feasts_own: list[str]
) -> None:
    """`enable_nestloop` is off by its `db_schema`, and a source's query cannot write."""
    connection.execute(b"CREATE TABLE source (n bigint)")
    query = (
        "SELECT 'u' AS user_id, timestamptz '2026-02-01' AS as_of, timestamptz '2026-02-01' AS created,"
        " current_setting('enable_nestloop') AS nested, current_setting('transaction_read_only') AS reads"
    )
    source = PostgreSQLSource(name="q", query=query, timestamp_field="as_of", created_timestamp_column="created")
    with kit.open_store(settings, tmp_path, "by_us") as store:
        store.apply([USER, view_of({"nested": String, "reads": String}, source=source)])
        store.materialize(START, END)
        (row,) = kit.rows_of(connection, store, "facts")
    assert (row["nested"], row["reads"]) == ("off", "on")
    assert not feasts_own


@pytest.mark.parametrize("latest", [True, False])
def test_the_newest_row_of_an_entity_wins(
    connection: Connection, settings: Settings, tmp_path: Path, feasts_own: list[str], latest: bool
) -> None:
    """Whether Feast pulls the newest or all rows; of two with the same timestamp the one created last."""
    connection.execute(b"CREATE TABLE source (user_id text, as_of timestamptz, created timestamptz, n bigint)")
    draw = random.Random(3)
    rows = [(f"u{n % 40}", at(draw.randint(0, 5)), at(100 + n), n) for n in range(400)]
    fill(connection, rows)
    with kit.open_stores(settings, tmp_path, latest=latest) as stores:
        written = compared(connection, stores, view_of({"n": Int64}), [{"user_id": f"u{n}"} for n in range(40)])
    newest = {user: max(row[1:] for row in rows if row[0] == user) for user in {row[0] for row in rows}}
    assert {row["user_id"]: (row["event_ts"], row["created_ts"], row["n"]) for row in written} == newest
    assert not feasts_own


@pytest.mark.parametrize(("latest", "expected"), [(True, 1), (False, 2)])
def test_a_row_without_created_timestamp_is_ordered_as_in_feast(
    connection: Connection, settings: Settings, tmp_path: Path, latest: bool, expected: int
) -> None:
    """In PostgreSQL, which pulls the newest rows, it is the last; in pandas, if Feast pulls all rows, the first."""
    connection.execute(b"CREATE TABLE source (user_id text, as_of timestamptz, created timestamptz, n bigint)")
    fill(connection, [("u", at(1), None, 1), ("u", at(1), at(5), 2)])
    with kit.open_stores(settings, tmp_path, latest=latest) as stores:
        (row,) = compared(connection, stores, view_of({"n": Int64}), [{"user_id": "u"}])
    assert row["n"] == expected


def test_the_offline_store_may_be_another_database(
    connection: Connection, settings: Settings, tmp_path: Path, feasts_own: list[str]
) -> None:
    elsewhere = f"{settings.database().database}_elsewhere"
    connection.execute(f'CREATE DATABASE "{elsewhere}"'.encode())
    try:
        with psycopg.connect(settings.conninfo(elsewhere), autocommit=True) as away:
            away.execute("CREATE TABLE source AS SELECT 'u' AS user_id, now() AS as_of, now() AS created, 7::int8 AS n")
        with kit.open_store(settings, tmp_path, "by_us", offline=elsewhere) as store:
            store.apply([USER, view_of({"n": Int64})])
            store.materialize(START, END)
            assert [row["n"] for row in kit.rows_of(connection, store, "facts")] == [7]
    finally:
        connection.execute(f'DROP DATABASE "{elsewhere}" WITH (FORCE)'.encode())
    assert not feasts_own


def test_a_table_with_more_features_than_the_view_is_left_to_feast(
    connection: Connection, settings: Settings, tmp_path: Path, feasts_own: list[str]
) -> None:
    """A feature that another process has applied is absent, even if a column of the source has its name."""
    connection.execute(b"CREATE TABLE source (user_id text, as_of timestamptz, created timestamptz, n bigint)")
    fill(connection, [("u", at(1), at(1), 5)])
    with kit.open_store(settings, tmp_path, "by_us") as store:
        store.apply([USER, view_of({"n": Int64, "created": UnixTimestamp})])
        old = view_of({"n": Int64})
        old.entity_columns = store.get_feature_view("facts").entity_columns
        store._get_provider().materialize_single_feature_view(
            store.config, old, START, END, store.registry, store.project, lambda _: None
        )
        (row,) = kit.rows_of(connection, store, "facts")
    assert (row["n"], row["created"], row["apart"]) == (5, None, {"created": None})
    assert feasts_own == ["facts"]


def test_feasts_configuration_knows_the_engine(settings: Settings, tmp_path: Path) -> None:
    with kit.open_store(settings, tmp_path, "by_us") as store:
        assert isinstance(store.config.batch_engine, WideComputeEngineConfig)


def test_start_and_end_are_included_as_in_feast(connection: Connection, settings: Settings, tmp_path: Path) -> None:
    """Both are in the interval."""
    connection.execute(b"CREATE TABLE source (user_id text, as_of timestamptz, created timestamptz, n bigint)")
    fill(connection, [(f"u{n}", at(n), at(n), n) for n in range(6)])
    with kit.open_stores(settings, tmp_path) as stores:
        for store in stores.every:
            store.apply([USER, view_of({"n": Int64})])
            store.materialize(at(1), at(3))
        ours, theirs = (kit.rows_of(connection, store, "facts") for store in (stores.by_us, stores.by_feast))
    assert ours == theirs
    assert [row["n"] for row in ours] == [1, 2, 3]
