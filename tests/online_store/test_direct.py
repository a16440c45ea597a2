"""The direct readers, by row and by array: values, nulls, timestamps, and changes of the tables meanwhile."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psycopg
import pytest
from psycopg.types.json import Jsonb

from asof.settings import Settings
from local.embedded_postgres import postgres
from online_store import array_reader
from online_store.array_reader import ArrayReader, ReadColumn
from online_store.errors import NoLayout, Unsupported, WideStoreError
from online_store.reading.direct_lookup import Source
from online_store.reading.direct_query import arrays_fit, arrays_query, check_query, make_plan, rows_query
from online_store.reading.prepared_queries import LOOKUP_PLANNING
from online_store.row_reader import Row, RowReader
from online_store.schema.layout import Layout, read_layout
from online_store.schema.tables import ViewSchema, apply_view, create_catalogue, drop_views
from tests.kits.store.wide import SCHEMA, at, put, settle

T = TypeVar("T")
Wanted = Sequence[tuple[str, str]]


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """A connection to an empty schema."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as opened:
        opened.execute(f'DROP SCHEMA IF EXISTS "{SCHEMA}" CASCADE'.encode())
        yield opened


def source(settings: Settings) -> Source:
    return Source(settings.conninfo(), SCHEMA, "shop")


def read_rows(settings: Settings, wanted: Wanted, keys: Mapping[str, Sequence[Any]], **options: Any) -> list[Row]:
    return closed_after(RowReader(source(settings), wanted, **options), keys)


def read_arrays(
    settings: Settings, wanted: Wanted, keys: Mapping[str, Sequence[Any]], **options: Any
) -> list[ReadColumn]:
    return closed_after(ArrayReader(source(settings), wanted, **options), keys)


def closed_after(reader: Any, keys: Mapping[str, Sequence[Any]]) -> Any:
    async def read() -> Any:
        try:
            return await reader.read(keys)
        finally:
            await reader.close()

    return asyncio.run(read())


def plain(rows: Sequence[Row]) -> list[tuple[list[Any], list[datetime | None]]]:
    return [(list(values), list(moments)) for values, moments in rows]


def by_row(columns: Sequence[ReadColumn]) -> list[tuple[list[Any], list[datetime | None]]]:
    """Arrays as rows, to be compared with those of RowReader."""
    rows = []
    for number in range(len(columns[0].nulls)):
        values = [None if each.nulls[number] else each.values[number : number + 1].tolist()[0] for each in columns]
        moments = [each.moments[number].item() for each in columns]
        rows.append((values, [moment and moment.replace(tzinfo=at(0).tzinfo) for moment in moments]))
    return rows


def both_ways(
    settings: Settings, wanted: Wanted, keys: Mapping[str, Sequence[Any]], **options: Any
) -> list[tuple[list[Any], list[datetime | None]]]:
    """The result of both readers, which must be equal; of the array reader also with two halves."""
    rows = plain(read_rows(settings, wanted, keys, **options))
    assert by_row(read_arrays(settings, wanted, keys, **options)) == rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array_reader, "SPLIT_FROM", 1)
        assert by_row(read_arrays(settings, wanted, keys, **options)) == rows
    return rows


TYPES = {
    "yes": "BOOL",
    "picture": "BYTES",
    "real": "DOUBLE",
    "short": "FLOAT",
    "few": "INT32",
    "many": "INT64",
    "word": "STRING",
}


def test_each_type_is_read_as_written_and_null_as_null(settings: Settings, connection: psycopg.Connection[Any]) -> None:
    layout = settle(connection, "view", **TYPES)
    values = [True, b"\0\xff", 1e300, 0.5, -(2**31), 2**63 - 1, "wörd 😀"]
    nothing = [None] * len(TYPES)
    put(connection, layout, [["a", *values, at(0), None], ["b", *nothing, at(1), at(2)]])
    wanted = [("view", name) for name in TYPES]
    keys = {"user_id": ["b", "nobody", "a"]}
    rows = both_ways(settings, wanted, keys)
    assert rows == [
        (nothing, [at(1)] * len(TYPES)),
        (nothing, [None] * len(TYPES)),
        (values, [at(0)] * len(TYPES)),
    ]
    assert [type(value) for value in rows[2][0]] == [type(value) for value in values]
    dtypes = [each.values.dtype for each in read_arrays(settings, wanted, keys)]
    assert dtypes == [np.dtype(name) for name in ("bool", "O", "float64", "float32", "int32", "int64", "O")]


def test_nan_is_a_value_unless_read_as_null(settings: Settings, connection: psycopg.Connection[Any]) -> None:
    layout = settle(connection, "view", real="DOUBLE", short="FLOAT")
    put(connection, layout, [["a", float("nan"), float("nan"), at(0), None], ["b", 1.0, float("inf"), at(0), None]])
    wanted, keys = [("view", "real"), ("view", "short")], {"user_id": ["a", "b"]}
    assert both_ways(settings, wanted, keys, nan_is_null=True) == [
        ([None, None], [at(0), at(0)]),
        ([1.0, float("inf")], [at(0), at(0)]),
    ]
    (values, _), _ = read_rows(settings, wanted, keys)
    assert all(value != value for value in values)
    real, short = read_arrays(settings, wanted, keys)
    assert np.isnan([real.values[0], short.values[0]]).all()
    assert not real.nulls.any()


def test_views_with_different_keys_are_read_together(settings: Settings, connection: psycopg.Connection[Any]) -> None:
    create_catalogue(connection, SCHEMA)
    orders = apply_view(
        connection, SCHEMA, ViewSchema("shop", "orders", {"shop": "STRING", "order": "INT64"}, {"paid": "BOOL"})
    )
    shops = apply_view(connection, SCHEMA, ViewSchema("shop", "shops", {"shop": "STRING"}, {"size": "INT32"}))
    put(connection, orders, [["x", 1, True, at(0), None], ["x", 2, False, at(1), None], ["y", 1, None, at(2), None]])
    put(connection, shops, [["x", 10, at(3), None], ["z", 30, at(4), None]])
    keys = {"order": [1, 2, 1, True, 2**70, "1"], "shop": ["x", "x", "y", "x", "z", None]}
    assert both_ways(settings, [("shops", "size"), ("orders", "paid")], keys) == [
        ([10, True], [at(3), at(0)]),
        ([10, False], [at(3), at(1)]),
        ([None, None], [None, at(2)]),
        ([10, None], [at(3), None]),
        ([30, None], [at(4), None]),
        ([None, None], [None, None]),
    ]


def test_a_feature_that_a_row_was_written_without_is_absent_and_not_null(
    settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    before = settle(connection, "view", old="INT64")
    put(connection, before, [["early", 1, at(0), None]])
    now = settle(connection, "view", old="INT64", new="INT64")
    put(connection, now, [["late", 2, None, at(1), None]])
    assert both_ways(settings, [("view", "new"), ("view", "old")], {"user_id": ["early", "late"]}) == [
        ([None, 1], [None, at(0)]),
        ([None, 2], [at(1), at(1)]),
    ]
    assert both_ways(settings, [("view", "old")], {"user_id": ["early"]}) == [([1], [at(0)])]


ONLY_A, BOTH = {"a": "INT64"}, {"a": "INT64", "b": "INT64"}
THERE, ABSENT = [([2, 1], [at(0), at(0)])], [([None, 1], [None, at(0)])]
"""The results for b and a."""


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([BOTH, ONLY_A, BOTH], [THERE, ABSENT, ABSENT]),
        ([BOTH, None, BOTH], [THERE, None, ABSENT]),  # dropped and added again between two lookups
        ([ONLY_A, BOTH, "written"], [ABSENT, ABSENT, THERE]),
        ([BOTH, "made anew", "written"], [THERE, [([None, None], [None, None])], THERE]),
        ([BOTH, {"a": "INT64", "b": "STRING"}], [THERE, ABSENT]),
    ],
)
def test_an_open_reader_follows_every_change_of_the_tables(
    settings: Settings, connection: psycopg.Connection[Any], steps: list[Any], expected: list[Any]
) -> None:
    wanted, keys = [("view", "b"), ("view", "a")], {"user_id": ["u"]}
    put(connection, settle(connection, "view", **BOTH), [["u", 1, 2, at(0), None]])

    def change(step: Any) -> None:
        if step == "made anew":
            drop_views(connection, SCHEMA, "shop", ["view"])
        if step == "written":
            put(connection, layout_of(connection, "view"), [["u", 1, 2, at(0), None]])
        else:
            settle(connection, "view", **(BOTH if step == "made anew" else step or ONLY_A))

    async def read_between() -> None:
        rows, arrays = RowReader(source(settings), wanted), ArrayReader(source(settings), wanted)
        for step, values in zip(steps, expected, strict=True):
            await asyncio.to_thread(change, step)
            if values is not None:
                assert plain(await rows.read(keys)) == by_row(await arrays.read(keys)) == values
        await rows.close()
        await arrays.close()

    asyncio.run(read_between())


def test_a_table_with_an_added_join_key_is_not_read_by_the_old_one_alone(
    settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    keys = {"user_id": ["u"], "shop_id": ["mine"]}
    put(connection, settle(connection, "view", a="INT64"), [["u", 1, at(0), None]])

    def key_anew() -> None:
        both = ViewSchema("shop", "view", {"user_id": "STRING", "shop_id": "STRING"}, {"a": "INT64"})
        layout = apply_view(connection, SCHEMA, both)
        put(connection, layout, [["u", "mine", 2, at(0), None], ["u", "other", 3, at(0), None]])

    async def read_between() -> None:
        knowing = RowReader(source(settings), [("view", "a")]), ArrayReader(source(settings), [("view", "a")])
        unknowing = RowReader(source(settings), [("view", "a")])
        await asyncio.gather(*(each.read(keys) for each in (*knowing, unknowing)))
        await asyncio.to_thread(key_anew)
        assert plain(await knowing[0].read(keys)) == by_row(await knowing[1].read(keys)) == [([2], [at(0)])]
        with pytest.raises(WideStoreError, match="shop_id"):
            await unknowing.read({"user_id": ["u"]})
        for each in (*knowing, unknowing):
            await each.close()

    asyncio.run(read_between())


def test_features_written_separately_keep_their_own_timestamps(
    settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    layout = settle(connection, "view", a="INT64", b="STRING", c="DOUBLE")
    put(connection, layout, [["whole", 1, "x", 0.5, at(0), None]])
    only_b = Jsonb({"a": None, "c": None})
    rows = [["whole", None, "y", None, at(5.123456), None, only_b], ["part", None, "z", None, at(6), None, only_b]]
    put(connection, layout, rows, partial=True)
    wanted = [("view", "a"), ("view", "b"), ("view", "c")]
    assert both_ways(settings, wanted, {"user_id": ["part", "whole", "part"]}) == [
        ([None, "z", None], [None, at(6), None]),
        ([1, "y", 0.5], [at(0), at(5.123456), at(0)]),
        ([None, "z", None], [None, at(6), None]),
    ]
    assert both_ways(settings, wanted[:1], {"user_id": ["whole"]}) == [([1], [at(0)])]
    connection.execute(
        f"UPDATE {layout.full_name} SET apart = jsonb_build_object('a', NULL) WHERE user_id = 'whole'".encode()
    )
    assert both_ways(settings, wanted[:1], {"user_id": ["whole"]}) == [([None], [None])]  # whatever the column holds


def test_a_missing_column_is_absent_and_a_missing_table_is_an_error(
    settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    with pytest.raises(NoLayout, match="view of project shop has no table"):
        read_rows(settings, [("view", "a")], {"user_id": ["u"]})
    layout = settle(connection, "view", a="INT64")
    put(connection, layout, [["u", 1, at(0), None]])
    keys = {"user_id": ["u"]}
    assert both_ways(settings, [("view", "never"), ("view", "a")], keys) == [([None, 1], [None, at(0)])]
    drop_views(connection, SCHEMA, "shop", ["view"])
    with pytest.raises(NoLayout, match="feast apply"):
        read_arrays(settings, [("view", "a")], keys)


@pytest.mark.parametrize("count", [830, 831])
def test_one_query_reads_as_many_features_as_postgresql_allows(
    settings: Settings, connection: psycopg.Connection[Any], count: int
) -> None:
    names = [f"f{number}" for number in range(count)]
    put(connection, settle(connection, "view", **dict.fromkeys(names, "INT32")), [["u", *range(count), at(0), None]])
    wanted = [("view", name) for name in names]
    if arrays_fit(1, count):
        assert both_ways(settings, wanted, {"user_id": ["u"]}) == [(list(range(count)), [at(0)] * count)]
    else:
        with pytest.raises(psycopg.errors.TooManyColumns):
            read_arrays(settings, wanted, {"user_id": ["u"]})


def test_features_that_are_not_scalars_are_left_to_feast(
    settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    settle(connection, "view", several="INT64_LIST", when="UNIX_TIMESTAMP", fine="INT64")
    for name in ("several", "when"):
        with pytest.raises(Unsupported, match=f"Feature {name} of view view is a .*Feast"):
            read_rows(settings, [("view", name)], {"user_id": ["u"]})
    assert both_ways(settings, [("view", "fine")], {"user_id": ["u"]}) == [([None], [None])]


def test_an_infinite_timestamp_is_a_data_error(settings: Settings, connection: psycopg.Connection[Any]) -> None:
    layout = settle(connection, "view", a="INT64")
    put(connection, layout, [["u", 1, at(0), None]])
    connection.execute(f"UPDATE {layout.full_name} SET event_ts = 'infinity'".encode())
    for read in (read_rows, read_arrays):
        with pytest.raises(psycopg.DataError, match="moment"):
            read(settings, [("view", "a")], {"user_id": ["u"]})


@pytest.mark.parametrize(("query", "tables"), [(rows_query, 2), (arrays_query, 3)])
def test_each_table_is_read_by_its_index_even_if_it_was_empty_at_first(
    settings: Settings, connection: psycopg.Connection[Any], query: Callable[..., str], tables: int
) -> None:
    """Also the catalogue, which only the query for arrays reads."""
    for view in ("empty", "full"):
        settle(connection, view, a="INT64")
    put(connection, layout_of(connection, "full"), [[f"{number:05}", 1, at(0), None] for number in range(2000)])
    connection.execute(b"VACUUM ANALYZE")
    layouts = [layout_of(connection, view) for view in ("empty", "full")]
    plan = make_plan(layouts, [("empty", "a"), ("full", "a")], nan_is_null=True)
    options = " ".join(f"-c {name}={value}" for name, value in LOOKUP_PLANNING.items())
    with psycopg.connect(settings.conninfo(), options=options) as planned:
        planned.execute(f"PREPARE lookup (text[]) AS {query(plan)}".encode())
        plans = "\n".join(line for (line,) in planned.execute("EXPLAIN EXECUTE lookup (ARRAY['x'])"))
        plans += "\n".join(line for (line,) in planned.execute(f"EXPLAIN {check_query(plan)}".encode()))
    assert plans.count("Index Scan using") == tables + 1
    assert "Nested Loop" in plans
    assert "Seq Scan" not in plans


def layout_of(connection: psycopg.Connection[Any], view: str) -> Layout:
    return read_layout(connection, "shop", view, schema=SCHEMA)


@pytest.mark.parametrize("many", [1, 100])
def test_lookups_are_right_while_the_tables_change(
    settings: Settings, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """Columns are added and dropped, one of them is read, and a table is created again: no error and no wrong value."""
    monkeypatch.setattr(array_reader, "SPLIT_FROM", many)
    for view in ("steady", "moving"):
        put(connection, settle(connection, view, a="INT64", b="INT64"), [["u", 1, 2, at(0), None]])
    wanted = [("steady", "a"), ("moving", "b"), ("moving", "a")]
    allowed = {(1, 2, 1), (1, None, 1)}  # b may be absent while it is dropped or after it is added again
    done = threading.Event()
    seen: list[tuple[Any, ...]] = []

    async def look(reader: Any, decode: Callable[[Any], Any]) -> None:
        while not done.is_set():
            ((values, _),) = decode(await reader.read({"user_id": ["u"]}))
            seen.append(tuple(values))
        await reader.close()

    async def look_by_both() -> None:
        rows, arrays = RowReader(source(settings), wanted), ArrayReader(source(settings), wanted)
        await asyncio.gather(look(rows, plain), look(arrays, by_row), asyncio.to_thread(change))

    def change() -> None:
        try:
            with psycopg.connect(settings.conninfo(), autocommit=True) as changing:
                for turn in range(30):
                    settle(changing, "moving", a="INT64", **({f"c{turn}": "STRING"} if turn % 3 else {"b": "INT64"}))
                    put(changing, settle(changing, "moving", a="INT64", b="INT64"), [["u", 1, 2, at(turn + 1), None]])
        finally:
            done.set()

    asyncio.run(look_by_both())
    assert set(seen) == allowed


def test_halves_with_different_layouts_are_read_again(
    settings: Settings, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table changes after one half is read and before the other."""
    put(connection, settle(connection, "view", a="INT64"), [[f"u{number}", number, at(0), None] for number in range(4)])
    reader, between, asked = ArrayReader(source(settings), [("view", "a"), ("view", "b")]), asyncio.Event(), []
    real = array_reader._read_part

    async def ask(lookup: Any, keys: Any, part: Any, *, columns: Any) -> None:
        if lookup is reader._lookups[1]:
            await between.wait()
        await real(lookup, keys, part, columns=columns)
        asked.append((len(part), columns.agree))
        if not between.is_set():
            settle(connection, "view", a="STRING", b="INT64")
            between.set()

    async def read() -> list[ReadColumn]:
        try:
            return await reader.read({"user_id": ["u3", "u0", "nobody", "u1"]})
        finally:
            await reader.close()

    monkeypatch.setattr(array_reader, "SPLIT_FROM", 1)
    monkeypatch.setattr(array_reader, "_read_part", ask)
    columns = asyncio.run(read())
    assert asked == [(2, True), (2, False), (2, True), (2, True)]
    assert [each.nulls.all() for each in columns] == [True, True]
    assert columns[0].values.dtype == object


def test_a_half_that_is_cancelled_or_fails_leaves_no_query(
    settings: Settings, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(connection, settle(connection, "view", a="INT64"), [[f"u{number}", number, at(0), None] for number in range(4)])
    monkeypatch.setattr(array_reader, "SPLIT_FROM", 1)
    keys = {"user_id": ["u3", "u0", "nobody", "u1"]}

    async def read() -> list[Any]:
        reader = ArrayReader(source(settings), [("view", "a")])
        before = by_row(await reader.read(keys))
        with connection.transaction():
            connection.execute(b"LOCK TABLE " + layout_of(connection, "view").full_name.encode())
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(keys), 0.5)
        assert by_row(await reader.read(keys)) == before
        prepared = reader._lookups[1]._open
        assert prepared is not None
        pid = prepared.prepared.connection.info.backend_pid
        connection.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
        await raises_operational(reader.read(keys))
        assert by_row(await reader.read(keys)) == before
        await reader.close()
        return before

    assert [values for values, _ in asyncio.run(read())] == [[3], [0], [None], [1]]


@contextlib.contextmanager
def a_server_of_its_own(settings: Settings, folder: Path) -> Iterator[Settings]:
    """A server of its own that may be stopped."""
    home = settings.model_copy(update={"home": folder, "postgres_url": None})
    try:
        yield postgres.ensure(home)
    finally:
        postgres.remove(home)


def test_a_restarted_server_costs_one_lookup_and_leaves_no_connection(server: Settings, tmp_path: Path) -> None:
    with a_server_of_its_own(server, tmp_path) as own:
        with psycopg.connect(own.conninfo(), autocommit=True) as connection:
            put(connection, settle(connection, "view", a="INT64"), [["u", 1, at(0), None]])
        asyncio.run(read_over_a_restart(own, RowReader(source(own), [("view", "a")])))
        asyncio.run(read_over_a_restart(own, ArrayReader(source(own), [("view", "a")])))


async def read_over_a_restart(settings: Settings, reader: RowReader | ArrayReader) -> None:
    keys = {"user_id": ["u"]}
    before = str(await reader.read(keys))
    home = settings.model_copy(update={"postgres_url": None})
    await asyncio.to_thread(postgres.stop, home)
    for _ in range(2):  # a lost connection, and one that cannot be made
        await raises_operational(reader.read(keys))
    await asyncio.to_thread(postgres.start, home)
    assert str(await reader.read(keys)) == before
    await reader.close()
    with psycopg.connect(settings.conninfo()) as connection:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        for _ in range(600):  # the server notices a closed connection only after a while
            if connection.execute(query).fetchone() == (0,):
                return
            await asyncio.sleep(0.1)
    raise AssertionError("a connection is left")


async def raises_operational(reading: Awaitable[Any]) -> None:
    with pytest.raises(psycopg.OperationalError):
        await reading
