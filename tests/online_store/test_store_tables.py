"""The store's tables and the upsert, without Feast."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from asof.settings import Settings
from online_store.errors import LayoutChanged, NoLayout, TooManyColumns
from online_store.schema.layout import read_layout
from online_store.schema.tables import ViewSchema, apply_view, drop_views, list_views, rewind
from tests.kits.store.wide import SCHEMA, at, put, rows_of, settle, soon

Connection = psycopg.Connection[Any]


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        yield connection
        connection.execute(f'DROP SCHEMA IF EXISTS "{SCHEMA}" CASCADE'.encode())


def test_a_table_is_created_as_declared_and_its_layout_read_back(connection: Connection) -> None:
    layout = settle(
        connection, 'a "view" of 100%', n="INT64", names="STRING_LIST", event_ts="DOUBLE", odd="MAP", ctid="BOOL"
    )
    assert read_layout(connection, "shop", 'a "view" of 100%', schema=SCHEMA) == layout
    assert [each.pg_type for each in layout.features] == ["int8", "text[]", "float8", "bytea", "bool"]
    assert len({each.column for each in layout.features} - {"event_ts", "ctid"}) == 5
    put(connection, layout, [("u", 1, ["a"], 0.5, b"x", True, at(0), None)])
    assert rows_of(connection, layout)["u"]["layout"] == layout.version


def test_names_too_long_for_postgresql_stay_distinct(connection: Connection) -> None:
    long = "ü" * 100
    first, second = (settle(connection, f"{long}{end}", **{f"{long}a": "INT64", f"{long}b": "INT64"}) for end in "ab")
    assert first.table != second.table
    assert put(connection, first, [("u", 1, 2, at(0), None)]) == 1
    assert not rows_of(connection, second)


def test_a_view_that_was_never_applied_is_named(connection: Connection) -> None:
    with pytest.raises(NoLayout, match="feast apply"):
        read_layout(connection, "shop", "nowhere", schema=SCHEMA)
    settle(connection, "v", n="INT64")
    with pytest.raises(NoLayout, match="nowhere"):
        read_layout(connection, "shop", "nowhere", schema=SCHEMA)


def test_rows_stay_when_columns_are_added_and_dropped(connection: Connection) -> None:
    first = settle(connection, "v", a="INT64", b="STRING")
    put(connection, first, [("u", 1, "x", at(0), None)])
    before = rows_of(connection, first)["u"]
    second = settle(connection, "v", a="INT64", c="BOOL")
    assert [each.name for each in second.features] == ["a", "c"]
    assert second.features[1].since == second.version > first.version
    after = rows_of(connection, second)["u"]
    assert (after["a"], after["c"], after["xmin"]) == (1, None, before["xmin"])
    assert settle(connection, "v", a="INT64", c="BOOL") == second


def test_a_changed_type_empties_the_column(connection: Connection) -> None:
    first = settle(connection, "v", a="INT64", b="INT64")
    put(connection, first, [("u", 1, 2, at(0), None)])
    second = settle(connection, "v", a="INT64", b="STRING")
    assert rows_of(connection, second)["u"]["b"] is None
    assert second.features[1].since == second.version


def test_changed_join_keys_empty_the_table(connection: Connection) -> None:
    first = settle(connection, "v", a="INT64")
    put(connection, first, [("u", 1, at(0), None)])
    second = apply_view(connection, SCHEMA, ViewSchema("shop", "v", {"user_id": "INT64"}, {"a": "INT64"}))
    assert not rows_of(connection, second)
    assert second.keys[0].pg_type == "int8"


def test_dropping_a_view_drops_only_its_own_table(connection: Connection) -> None:
    settle(connection, "v", a="INT64")
    kept = settle(connection, "w", a="INT64")
    drop_views(connection, SCHEMA, "another project", ["v"])
    drop_views(connection, SCHEMA, "shop", ["v", "never there"])
    assert list_views(connection, SCHEMA, "shop") == ["w"]
    assert not rows_of(connection, kept)


def test_more_columns_than_a_table_can_have_are_an_error(connection: Connection) -> None:
    settle(connection, "v", a="INT64")
    with pytest.raises(TooManyColumns, match="split it"):
        settle(connection, "v", **{f"f{number}": "INT64" for number in range(1600)})
    for number in range(3):  # dropped columns count too
        features = {f"f{number}_{each}": "BOOL" for each in range(700)}
        if number < 2:
            settle(connection, "v", **features)
    with pytest.raises(TooManyColumns, match="dropped ones included"):
        settle(connection, "v", **features)


def test_an_older_row_never_replaces_a_newer_one(connection: Connection) -> None:
    layout = settle(connection, "v", a="INT64")
    assert put(connection, layout, [("u", 2, at(2), at(9)), ("w", 2, at(2), at(9))]) == 2
    assert put(connection, layout, [("u", 1, at(1), at(10)), ("w", 3, at(3), at(1))]) == 1
    assert {key: row["a"] for key, row in rows_of(connection, layout).items()} == {"u": 2, "w": 3}


@pytest.mark.parametrize(
    ("held", "given", "taken"), [(5, 6, True), (5, 5, True), (5, 4, False), (5, None, True), (None, 1, True)]
)
def test_created_timestamps_decide_between_equal_event_timestamps(
    connection: Connection, held: float | None, given: float | None, taken: bool
) -> None:
    layout = settle(connection, "v", a="INT64")
    put(connection, layout, [("u", 1, at(0), None if held is None else at(held))])
    put(connection, layout, [("u", 2, at(0), None if given is None else at(given))])
    assert rows_of(connection, layout)["u"]["a"] == (2 if taken else 1)


def test_unchanged_rows_are_not_touched(connection: Connection) -> None:
    layout = settle(connection, "v", a="DOUBLE", b="STRING_LIST")
    rows = [("u", float("nan"), ["x"], at(0), at(1)), ("w", None, None, at(0), None)]
    assert put(connection, layout, rows) == 2
    before = rows_of(connection, layout)
    assert put(connection, layout, rows) == 0
    assert str(rows_of(connection, layout)) == str(before)
    layout = settle(connection, "v", a="DOUBLE", b="STRING_LIST", c="BOOL")
    assert put(connection, layout, [(*row[:3], None, *row[3:]) for row in rows]) == 2  # absent becomes null
    assert put(connection, layout, [(*row[:3], None, *row[3:]) for row in rows]) == 0


def partly(layout_names: str, given: str) -> Jsonb:
    return Jsonb({name: None for name in layout_names if name not in given})


def moments(connection: Connection, layout: Any) -> dict[str, Any]:
    """For the row of u: value and hour of each feature, or None where it is absent."""
    row = rows_of(connection, layout)["u"]
    actual = {}
    for each in layout.features:
        hour: Any = (row["event_ts"] - at(0)).total_seconds() / 3600
        if each.name in (row["apart"] or {}):
            own = row["apart"][each.name]
            hour = own and (datetime.fromisoformat(own) - at(0)).total_seconds() / 3600
        elif each.since > row["layout"]:
            hour = None
        actual[each.name] = None if hour is None else (row[each.column], hour)
    return actual


def test_a_partial_row_keeps_other_features_with_their_timestamps(connection: Connection) -> None:
    layout = settle(connection, "v", a="INT64", b="INT64", c="INT64")
    put(connection, layout, [("u", 1, 2, 3, at(1), None)])
    put(connection, layout, [("u", 7, None, None, at(5), None, partly("abc", "a"))], partial=True)
    assert moments(connection, layout) == {"a": (7, 5), "b": (2, 1), "c": (3, 1)}
    assert put(connection, layout, [("u", None, 8, None, at(3), None, partly("abc", "b"))], partial=True) == 1
    assert moments(connection, layout) == {"a": (7, 5), "b": (8, 3), "c": (3, 1)}
    assert put(connection, layout, [("u", 0, 0, None, at(3), None, partly("abc", "ab"))], partial=True) == 1
    assert moments(connection, layout) == {"a": (7, 5), "b": (0, 3), "c": (3, 1)}
    assert put(connection, layout, [("u", 0, 0, None, at(2), None, partly("abc", "ab"))], partial=True) == 0
    assert put(connection, layout, [("u", 4, 5, 6, at(4), None)]) == 1  # complete, in between: replaces what is older
    assert moments(connection, layout) == {"a": (7, 5), "b": (5, 4), "c": (6, 4)}
    assert put(connection, layout, [("u", 4, 5, 6, at(4), None)]) == 0
    assert put(connection, layout, [("u", 9, 9, 9, at(5), None)]) == 1
    assert rows_of(connection, layout)["u"]["apart"] is None


def test_a_partial_row_of_a_new_key_has_other_features_absent(connection: Connection) -> None:
    layout = settle(connection, "v", a="INT64", b="INT64")
    put(connection, layout, [("u", 7, None, at(5), None, partly("ab", "a"))], partial=True)
    assert moments(connection, layout) == {"a": (7, 5), "b": None}
    put(connection, layout, [("u", None, None, at(5), None, partly("ab", "b"))], partial=True)
    assert moments(connection, layout) == {"a": (7, 5), "b": (None, 5)}
    assert rows_of(connection, layout)["u"]["apart"] is None


def test_a_later_feature_is_filled_by_older_rows_which_replace_nothing(connection: Connection) -> None:
    put(connection, settle(connection, "v", a="INT64"), [("u", 7, at(5), None)])
    layout = settle(connection, "v", a="INT64", b="INT64")
    assert put(connection, layout, [("u", 1, 2, at(3), None)]) == 1
    assert moments(connection, layout) == {"a": (7, 5), "b": (2, 3)}
    assert put(connection, layout, [("u", 1, 2, at(3), None)]) == 0
    assert put(connection, layout, [("u", 0, 0, at(1), None)]) == 0
    assert moments(connection, layout) == {"a": (7, 5), "b": (2, 3)}


def test_the_latest_created_timestamp_of_equal_values_is_kept(connection: Connection) -> None:
    layout = settle(connection, "v", a="INT64", b="INT64")
    only_a = partly("ab", "a")
    for value, created, changed in ((1, 1, 1), (1, 3, 1), (2, 2, 0), (1, 3, 0), (4, 4, 1)):
        row = ("u", value, None, at(5), at(created), only_a)
        assert put(connection, layout, [row], partial=True) == changed
    assert moments(connection, layout) == {"a": (4, 5), "b": None}


def test_own_timestamps_of_a_dropped_feature_do_not_apply_to_a_new_one_of_its_name(connection: Connection) -> None:
    layout = settle(connection, "v", a="INT64", b="INT64")
    put(connection, layout, [("u", 1, 2, at(1), None)])
    put(connection, layout, [("u", 7, None, at(5), None, partly("ab", "a"))], partial=True)
    settle(connection, "v", a="INT64")
    layout = settle(connection, "v", a="INT64", b="STRING")
    assert moments(connection, layout) == {"a": (7, 5), "b": None}
    put(connection, layout, [("u", None, "x", at(2), None, partly("ab", "b"))], partial=True)
    assert moments(connection, layout) == {"a": (7, 5), "b": ("x", 2)}


def test_a_rewind_and_a_writer_do_not_deadlock(settings: Settings, connection: Connection) -> None:
    layout = settle(connection, "v", a="INT64")
    put(connection, layout, [("a", 1, at(5), None), ("b", 1, at(5), None)])
    change = f"UPDATE {layout.full_name} SET a = 2 WHERE user_id = "
    with ThreadPoolExecutor(1) as thread, psycopg.connect(settings.conninfo()) as writer:
        writer.execute(f"{change}'b'".encode())
        rewinding = thread.submit(rewind, connection, layout, at(1))
        waiting = "SELECT FROM pg_locks WHERE pid = %s AND NOT granted"
        soon(lambda: bool(writer.execute(waiting.encode(), [connection.info.backend_pid]).fetchall()))
        writer.execute(f"{change}'a'".encode())
        writer.commit()
        assert rewinding.result() == 2
    assert rows_of(connection, layout) == {}


def test_writing_with_an_old_layout_is_an_error(connection: Connection) -> None:
    old = settle(connection, "v", a="INT64")
    settle(connection, "v", a="INT64", b="INT64")
    with pytest.raises(LayoutChanged):
        put(connection, old, [("u", 1, at(0), None)])
    drop_views(connection, SCHEMA, "shop", ["v"])
    with pytest.raises(LayoutChanged):
        put(connection, old, [("u", 1, at(0), None)])
    assert settle(connection, "v", a="INT64").version > old.version
