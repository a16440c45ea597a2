"""The canonical form of rows: what changes the digest, what does not, and the golden value that pins it everywhere."""

import hashlib
import os
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as arrow
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asof.errors import TrainingSetError
from asof.settings import PROJECT
from training.features.datasets.rows_digest import TYPES, rows_digest

COLUMNS = {
    "user_id": "String",
    "plan": "String",
    "note": "String",
    "hours": "Float64",
    "tickets": "Int64",
    "senior": "Bool",
    "seen": "UnixTimestamp",
}
KEY = ["user_id"]
WIDTH = 2**63
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "String": st.text(st.characters(codec="utf-8"), max_size=4),
    "Float64": st.floats(),
    "Int64": st.integers(-WIDTH, WIDTH - 1),
    "Bool": st.booleans(),
    "UnixTimestamp": st.integers(-(2**50), 2**50),
}
GOLDEN = "25c225ad2efa884da9e2f086d6cbcaea07587d7fd3289824262b8858a65654b5"

Row = dict[str, Any]


def cell(feast_type: str) -> st.SearchStrategy[Any]:
    return st.none() | CELLS[feast_type]


def rows(min_size: int = 1) -> st.SearchStrategy[list[Row]]:
    """Rows in the order of their keys."""
    values = {name: cell(feast_type) for name, feast_type in COLUMNS.items()} | {"user_id": CELLS["String"]}
    drawn = st.lists(st.fixed_dictionaries(values), min_size=min_size, max_size=6, unique_by=lambda row: row["user_id"])
    return drawn.map(lambda found: sorted(found, key=lambda row: row["user_id"]))


def table(found: list[Row]) -> arrow.Table:
    columns = {name: arrow.array([row[name] for row in found], TYPES[kept]) for name, kept in COLUMNS.items()}
    return arrow.table(columns)


def digest(found: list[Row]) -> str:
    return rows_digest([table(found)], COLUMNS, key=KEY)


def reference(found: list[Row]) -> str:
    """The canonical form of the module's docstring, one cell at a time and without Arrow."""
    parts = ["asof rows 1", str(len(found)), "1", "user_id"]
    for name, feast_type in sorted(COLUMNS.items()):
        cells = [row[name] for row in found]
        streams = [bytes(cell is not None for cell in cells), b"".join(encoded(cell, feast_type) for cell in cells)]
        if feast_type == "String":
            streams.append(b"".join(struct.pack("<q", len((cell or "").encode())) for cell in cells))
        parts += [name, feast_type, *(hashlib.sha256(stream).hexdigest() for stream in streams)]
    return hashlib.sha256(b"".join(struct.pack("<q", len(part)) + part.encode() for part in parts)).hexdigest()


def encoded(cell: Any, feast_type: str) -> bytes:
    match feast_type:
        case "String":
            return (cell or "").encode()
        case "Bool":
            return bytes([cell or False])
        case "Float64":
            nan = cell is not None and cell != cell
            return b"\0\0\0\0\0\0\xf8\x7f" if nan else struct.pack("<d", 0.0 if cell is None else cell)
        case _:
            return struct.pack("<q", cell or 0)


@given(rows())
def test_it_is_what_its_description_says(found: list[Row]) -> None:
    assert digest(found) == reference(found)


def bits(value: Any) -> Any:
    """What makes a cell another one: a float's bits, every NaN alike."""
    if isinstance(value, float):
        return "nan" if np.isnan(value) else np.float64(value).tobytes()
    return value


@given(rows(), st.data())
def test_any_changed_cell_changes_it(found: list[Row], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(found) - 1))
    name = data.draw(st.sampled_from([name for name in COLUMNS if name != "user_id"]))
    value = data.draw(cell(COLUMNS[name]))
    assume(bits(value) != bits(found[place][name]))
    changed = [row | {name: value} if number == place else row for number, row in enumerate(found)]
    assert digest(changed) != digest(found)


@given(rows(), CELLS["String"], st.data())
def test_a_changed_key_changes_it(found: list[Row], value: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(found) - 1))
    assume(value not in {row["user_id"] for row in found})
    changed = [row | {"user_id": value} if number == place else row for number, row in enumerate(found)]
    assert digest(sorted(changed, key=lambda row: row["user_id"])) != digest(found)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("hours", [None, 0.0, -0.0, float("nan"), float("inf"), float("-inf"), 5e-324, 1.0, 1.0 + 2**-52]),
        ("tickets", [None, 0, 1, -1, 2**62, 2**62 + 1, -(2**63)]),
        ("senior", [None, False, True]),
        ("plan", [None, "", "0", "None", "nan", "\x00", " ", "\u00e9", "e\u0301", "A", "a"]),
        ("seen", [None, 0, 1, -1]),
    ],
)
def test_neighbours_that_are_easily_confused_are_apart(name: str, values: list[Any]) -> None:
    row = dict.fromkeys(COLUMNS) | {"user_id": "a"}
    assert len({digest([row | {name: value}]) for value in values}) == len(values)


def test_every_nan_is_the_same_value() -> None:
    payloads = np.array([0x7FF8000000000000, 0x7FF8000000000001, 0xFFF8000000000000], dtype=np.uint64).view(float)
    found = {
        rows_digest([arrow.table({"k": ["a"], "x": [nan]})], {"k": "String", "x": "Float64"}, key=["k"])
        for nan in payloads
    }
    assert len(found) == 1


@given(rows(2), st.data())
def test_text_moved_to_a_neighbour_changes_it(found: list[Row], data: st.DataObject) -> None:
    """Into the next row, and into the next column: the joined text stays the same."""
    place = data.draw(st.integers(0, len(found) - 2))
    below = dict(found[place + 1], plan="")
    whole = dict(found[place], plan="ab", note="")
    ends = {
        digest([*found[:place], whole | {"plan": left, "note": beside}, below | {"plan": under}, *found[place + 2 :]])
        for left, beside, under in [("ab", "", ""), ("a", "b", ""), ("", "ab", ""), ("a", "", "b"), ("", "", "ab")]
    }
    assert len(ends) == 5


@given(rows(2), st.data())
def test_a_dropped_row_changes_it_and_a_row_twice_is_refused(found: list[Row], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(found) - 1))
    assert digest(found[:place] + found[place + 1 :]) != digest(found)
    with pytest.raises(TrainingSetError, match="comes twice"):
        digest(found[: place + 1] + found[place:])


@given(rows())
def test_a_renamed_a_retyped_an_added_and_a_dropped_column_change_it(found: list[Row]) -> None:
    whole = table(found)
    renamed = rows_digest([whole.rename_columns({"note": "remark"})], renamed_types("note", "remark"), key=KEY)
    fewer = rows_digest([whole], {name: kept for name, kept in COLUMNS.items() if name != "note"}, key=KEY)
    more = rows_digest([whole.append_column("more", whole["note"])], COLUMNS | {"more": "String"}, key=KEY)
    as_number = whole.set_column(6, "seen", whole["seen"].cast(arrow.int64()))
    retyped = rows_digest([as_number], COLUMNS | {"seen": "Int64"}, key=KEY)
    assert len({digest(found), renamed, fewer, more, retyped}) == 5


def renamed_types(old: str, new: str) -> dict[str, str]:
    return {new if name == old else name: kept for name, kept in COLUMNS.items()}


def test_columns_that_change_places_by_name_change_it() -> None:
    row = dict.fromkeys(COLUMNS) | {"user_id": "a", "plan": "x", "note": "y"}
    assert digest([row]) != digest([row | {"plan": "y", "note": "x"}])


@given(rows(), st.integers(1, 4), st.permutations(list(COLUMNS)), st.permutations(list(COLUMNS)))
def test_chunks_and_the_order_of_columns_do_not_change_it(
    found: list[Row], size: int, kept: list[str], typed: list[str]
) -> None:
    whole = table(found).select(kept)
    chunks = [whole.slice(start, size) for start in range(0, len(found), size)]
    empty = whole.slice(0, 0)
    types = {name: COLUMNS[name] for name in typed}
    assert rows_digest([empty, *chunks, empty], types, key=KEY) == digest(found)
    assert rows_digest([arrow.concat_tables(chunks)], types, key=KEY) == digest(found)


@given(rows(), st.data())
def test_the_order_of_rows_does_not_change_it_once_they_are_sorted(found: list[Row], data: st.DataObject) -> None:
    shuffled = table(data.draw(st.permutations(found)))
    assert rows_digest([shuffled.sort_by("user_id")], COLUMNS, key=KEY) == digest(found)


@given(rows())
def test_what_a_library_keeps_a_column_in_does_not_change_it(found: list[Row]) -> None:
    whole = table(found)
    other = arrow.table(
        {name: column.dictionary_encode() if COLUMNS[name] == "String" else column for name, column in
         zip(whole.column_names, whole.columns, strict=True)}
    )  # fmt: skip
    narrow = arrow.table({name: column.cast(arrow.string()) if COLUMNS[name] == "String" else column for name, column in
                          zip(whole.column_names, whole.columns, strict=True)})  # fmt: skip
    assert rows_digest([other], COLUMNS, key=KEY) == rows_digest([narrow], COLUMNS, key=KEY) == digest(found)


BACKINGS = [
    {"user_id": "object", "tickets": "int64", "senior": "bool", "hours": "float64"},
    {"user_id": "string", "tickets": "Int64", "senior": "boolean", "hours": "Float64"},
    {"user_id": "string[pyarrow]", "tickets": "int64[pyarrow]", "senior": "bool[pyarrow]", "hours": "double[pyarrow]"},
    {"user_id": "category", "tickets": "int16", "senior": "boolean", "hours": "float32"},
]


def test_how_pandas_keeps_a_column_does_not_change_it() -> None:
    frame = pd.DataFrame({"user_id": ["a", "b"], "tickets": [1, 2], "senior": [True, False], "hours": [0.5, 1.25]})
    types = {name: COLUMNS[name] for name in frame}
    kept = {
        rows_digest([arrow.Table.from_pandas(frame.astype(backing))], types, key=KEY) for backing in BACKINGS
    }  # fmt: skip
    assert len(kept) == 1


def test_a_time_is_the_moment_and_not_its_zone_or_unit() -> None:
    moment = pd.Timestamp("2024-02-29T12:00:00.000001", tz="UTC")
    stamps = [moment, moment.tz_convert("Asia/Kathmandu"), moment.tz_localize(None)]
    columns = [pd.Series([stamp]).astype(str(pd.Series([stamp]).dtype).replace("[ns", "[us")) for stamp in stamps]
    columns += [pd.Series([stamp]) for stamp in stamps]
    found = {
        rows_digest(
            [arrow.table({"k": ["a"], "t": arrow.Array.from_pandas(each)})],
            {"k": "String", "t": "UnixTimestamp"},
            key=["k"],
        )
        for each in columns
    }
    assert len(found) == 1


def test_a_key_of_two_columns_orders_the_rows() -> None:
    types = {"user_id": "String", "as_of": "UnixTimestamp"}
    stream = arrow.table({"user_id": ["a", "a", "b"], "as_of": arrow.array([1, 2, 1], TYPES["UnixTimestamp"])})
    chunks = [stream.slice(number, 1) for number in range(3)]
    key = ["user_id", "as_of"]
    assert rows_digest(chunks, types, key=key) == rows_digest([stream], types, key=key)
    with pytest.raises(TrainingSetError, match=r"user_id a, as_of .* is out of order"):
        rows_digest([chunks[1], chunks[0]], types, key=key)
    with pytest.raises(TrainingSetError, match="comes twice"):
        rows_digest([stream], types, key=["user_id"])


@pytest.mark.parametrize(
    ("column", "feast_type", "message"),
    [
        (["1"], "Int64", "is of type string, not Int64"),
        ([2], "Bool", "is of type int64, not Bool"),
        ([1], "Float64", "is of type int64, not Float64"),
        ([1.0], "Int64", "is of type double, not Int64"),
        ([True], "Int64", "is of type bool, not Int64"),
        (arrow.array([2**63], arrow.uint64()), "Int64", "value that Int64 cannot hold"),
        (arrow.array([1], arrow.timestamp("ns")), "UnixTimestamp", "value that UnixTimestamp cannot hold"),
    ],
)
def test_a_value_of_another_type_is_refused(column: Any, feast_type: str, message: str) -> None:
    with pytest.raises(TrainingSetError, match=message):
        rows_digest([arrow.table({"k": ["a"], "x": column})], {"k": "String", "x": feast_type}, key=["k"])


def test_a_row_without_a_key_is_refused() -> None:
    with pytest.raises(TrainingSetError, match="no user_id"):
        digest([dict.fromkeys(COLUMNS)])


def test_what_lies_in_a_nulls_place_does_not_count() -> None:
    """Arrow keeps a null's bytes as they happen to be."""
    valid = arrow.py_buffer(b"\x01")
    numbers, ends = (np.array(values, dtype=kind) for values, kind in (([7, 9], np.int64), ([0, 1, 4], np.int64)))
    left = arrow.Array.from_buffers(arrow.int64(), 2, [valid, arrow.py_buffer(numbers)])
    text = arrow.Array.from_buffers(arrow.large_string(), 2, [valid, arrow.py_buffer(ends), arrow.py_buffer(b"xyyy")])
    types = {"k": "String", "n": "Int64", "s": "String"}
    dirty = arrow.table({"k": ["a", "b"], "n": left, "s": text})
    clean = arrow.table({"k": ["a", "b"], "n": [7, None], "s": ["x", None]})
    assert rows_digest([dirty], types, key=["k"]) == rows_digest([clean], types, key=["k"])


SAMPLE = """
import sys
from datetime import UTC, datetime
import pyarrow as arrow
from training.features.datasets.rows_digest import TYPES, rows_digest
columns = {
    "user_id": ("String", ["a", "b", "\\u00e4", "\\U0001f600"]),
    "hours": ("Float64", [0.1, -0.0, float("nan"), None]),
    "tickets": ("Int64", [-(2**63), 2**63 - 1, 0, None]),
    "senior": ("Bool", [True, False, None, None]),
    "seen": ("UnixTimestamp", [datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), datetime(2024, 2, 29, tzinfo=UTC), None, None]),
    "plan": ("String", ["", None, "e\\u0301", "\\u00e9"]),
}
table = arrow.table({name: arrow.array(values, TYPES[kept]) for name, (kept, values) in columns.items()})
print(rows_digest([table], {name: kept for name, (kept, _) in columns.items()}, key=["user_id"]))
"""  # noqa: E501


def test_the_golden_value_is_the_same_in_every_process() -> None:
    """Whoever changes the format changes its name, too, and this value: recorded fingerprints are then of the past."""
    other = {"LC_ALL": "de_DE.UTF-8", "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "1", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", SAMPLE]
    done = subprocess.run(command, cwd=PROJECT, env={**os.environ, **other}, capture_output=True, text=True)
    assert done.stdout.strip() == GOLDEN, done.stderr


def test_a_stream_is_never_held_as_a_whole() -> None:
    """Ten times the rows take no more memory: at most two chunks of Python's and Arrow's together."""
    peaks = [peak(chunks) for chunks in (5, 50)]
    assert peaks[1] < peaks[0] * 1.2


def peak(chunks: int) -> int:
    tracemalloc.start()
    before, highest = arrow.total_allocated_bytes(), 0

    def watched() -> Iterator[arrow.Table]:
        nonlocal highest
        for chunk in stream(chunks):
            highest = max(highest, arrow.total_allocated_bytes() - before)
            yield chunk

    rows_digest(watched(), {"user_id": "String", "hours": "Float64"}, key=["user_id"])
    _, traced = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return traced + highest


def stream(chunks: int, size: int = 5_000) -> Iterator[arrow.Table]:
    generator = np.random.default_rng(0)
    for start in range(0, chunks * size, size):
        users = [f"{number:09}" for number in range(start, start + size)]
        yield arrow.table({"user_id": users, "hours": generator.random(size)})
