"""Parquet files, folders and partitions: the same rows as of a CSV file, or the same refusals."""

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import parquet

from asof.errors import ExtractError
from asof.extracts.schema import Column, ExtractSchema, Kind, RawTable
from asof.extracts.sources import ParquetFile
from training.data.extracts.deliveries import find_deliveries
from training.data.extracts.extract import DeliveredTable, read_extract
from training.data.extracts.files.data_files import file_digest
from training.data.extracts.known_ids import KnownIds

KEY = Column("id", Kind.TEXT)
COLUMNS = (
    KEY,
    Column("visits", Kind.INTEGER, nullable=True, maximum=100),
    Column("fee", Kind.NUMBER),
    Column("since", Kind.DATE),
    Column("paperless", Kind.BOOLEAN),
)
USERS = RawTable("users", COLUMNS, source=ParquetFile())
LABELS = RawTable("labels", (KEY, Column("l", Kind.BOOLEAN)), source=ParquetFile())
SCHEMA = ExtractSchema("id", "users", (USERS,), LABELS, "l")
ROWS = [
    {"id": "a", "visits": 7, "fee": 1.5, "since": date(2024, 1, 31), "paperless": True},
    {"id": "b", "visits": None, "fee": 2.0, "since": date(2024, 2, 1), "paperless": False},
]


def read(folder: Path, schema: ExtractSchema = SCHEMA) -> DeliveredTable:
    def nobody() -> KnownIds:
        raise AssertionError("the ids of the database are for label deliveries only")

    return read_extract(folder, schema, nobody)[0]


def write(folder: Path, **columns: Any) -> Path:
    """Rows with the columns, some of them changed."""
    table = arrow.Table.from_pylist(ROWS)
    for name, values in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, values if isinstance(values, arrow.Array) else arrow.array(values))
    parquet.write_table(table, folder / "users.parquet")
    return folder


def test_a_file_gives_the_rows_that_it_holds(tmp_path: Path) -> None:
    delivered = read(write(tmp_path))
    assert delivered.rows.to_pylist() == ROWS
    assert (delivered.file, delivered.sha256) == ("users.parquet", file_digest(tmp_path / "users.parquet"))


OTHER_TYPES: dict[str, dict[str, Any]] = {
    "what pandas makes of whole numbers with gaps": {"visits": [7.0, None]},
    "a small unsigned": {"visits": arrow.array([7, None], arrow.uint8())},
    "decimals": {"fee": [Decimal("1.50"), Decimal("2.00")], "visits": [Decimal("7"), None]},
    "whole numbers": {"visits": arrow.array([7, None], arrow.int16()), "fee": arrow.array([1.5, 2], arrow.float32())},
    "timestamps at midnight": {"since": [datetime(2024, 1, 31), datetime(2024, 2, 1)]},  # noqa: DTZ001
    "texts": {"visits": ["7", None], "fee": ["1.5", "2"], "since": ["2024-01-31", "2024-02-01"]},
    "texts of booleans": {"paperless": ["true", "FALSE"]},
    "a dictionary": {"id": arrow.array(["a", "b"]).dictionary_encode()},
}  # fmt: skip


@pytest.mark.parametrize("types", OTHER_TYPES)
def test_another_type_is_taken_where_nothing_is_lost(tmp_path: Path, types: str) -> None:
    assert read(write(tmp_path, **OTHER_TYPES[types])).rows.to_pylist() == ROWS


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a part of a whole": ({"visits": [7.5, None]}, r"users.parquet: column visits: id 'a' \(1 in all\): must be a who"),
    "NaN": ({"fee": [1.5, float("nan")]}, "column fee: id 'b' .* finite number, with a point; that of 'b' has 'nan'"),
    "beyond 64 bits": ({"visits": arrow.array([2**64 - 1, 1], arrow.uint64())}, "column visits: id 'a' "),
    "too large": ({"visits": [101, 102]}, r"column visits: id 'a', 'b' \(2 in all\): must be at most 100"),
    "a time of day": ({"since": [datetime(2024, 1, 31, 6)] * 2}, "column since: id 'a', 'b' .* must be a date"),  # noqa: DTZ001
    "a number for a boolean": ({"paperless": [1, 0]}, "column paperless: id 'a', 'b' .* must be True or False"),
    "an id twice": ({"id": ["a", "a"]}, r"column id: id 'a', 'a' \(2 in all\): must be unique"),
    "no value": ({"fee": [None, 1.0]}, "column fee: id 'a' .* must not be empty"),
    "a number for an id": ({"id": [1.0, 2.0]}, "column id: id '1', '2' .* must be text"),
    "a list": ({"fee": [[1.0], [2.0]]}, "column fee: id 'a', 'b' .* must be a finite number"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_value_that_is_not_of_the_kind_is_named_by_its_key(tmp_path: Path, case: str) -> None:
    columns, message = REFUSED[case]
    with pytest.raises(ExtractError, match=message):
        read(write(tmp_path, **columns))


def test_a_folder_with_partitions_is_one_table_with_one_digest(tmp_path: Path) -> None:
    users = RawTable("users", (*COLUMNS, Column("country", Kind.TEXT)), source=ParquetFile())
    for country, row in zip(("01", "02"), ROWS, strict=True):
        (tmp_path / "users.parquet" / f"country={country}").mkdir(parents=True)
        parquet.write_table(
            arrow.Table.from_pylist([row]), tmp_path / "users.parquet" / f"country={country}" / "0.parquet"
        )
    (tmp_path / "users.parquet" / "_SUCCESS").touch()
    schema = ExtractSchema("id", "users", (users,), LABELS, "l")

    delivered = read(tmp_path, schema)
    assert delivered.rows.to_pylist() == [ROWS[0] | {"country": "01"}, ROWS[1] | {"country": "02"}]
    (tmp_path / "users.parquet" / "country=02" / "0.parquet").rename(
        tmp_path / "users.parquet" / "country=01" / "1.parquet"
    )
    assert file_digest(tmp_path / "users.parquet") != delivered.sha256


def test_whole_numbers_are_ids_as_a_file_of_texts_has_them(tmp_path: Path) -> None:
    assert read(write(tmp_path, id=[7, 12])).rows["id"].to_pylist() == ["7", "12"]


def test_columns_may_have_other_names_or_be_ignored(tmp_path: Path) -> None:
    source = ParquetFile(columns={"id": "customer"}, ignored=("visits",))
    users = RawTable("users", (Column("customer", Kind.TEXT), *COLUMNS[2:]), source=source)
    labels = replace(LABELS, columns=(Column("customer", Kind.TEXT), *LABELS.columns[1:]))
    schema = ExtractSchema("customer", "users", (users,), labels, "l")
    assert read(write(tmp_path), schema).rows.column_names == ["customer", "fee", "since", "paperless"]


def test_a_file_that_is_none_or_has_other_columns_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExtractError, match=r"users\.parquet: cannot be read: .*the file must be in"):
        read(tmp_path)
    (tmp_path / "users.parquet").write_bytes(b"id,visits\n")
    with pytest.raises(ExtractError, match=r"users\.parquet: cannot be read as Parquet"):
        read(tmp_path)
    parquet.write_table(arrow.table({"id": ["a"], "extra": [1]}), tmp_path / "users.parquet")
    with pytest.raises(
        ExtractError, match=r"column 'visits' is missing\n.*\n.*\n.*\n.*column 'extra' is unknown; ignore it"
    ):
        read(tmp_path)


def test_parquet_files_make_a_delivery(tmp_path: Path) -> None:
    (tmp_path / "2024-01-31").mkdir()
    write(tmp_path / "2024-01-31")
    parquet.write_table(arrow.table({"id": ["a"], "l": [True]}), tmp_path / "2024-01-31" / "labels.parquet")
    assert [each.part for each in find_deliveries(tmp_path, backfill=True)] == ["features", "labels"]
