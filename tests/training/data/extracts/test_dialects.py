"""CSV files in declared dialects, packed and not; and what is said where the dialect contradicts the file."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest

from asof.errors import ConfigurationError, ExtractError
from asof.extracts.schema import Column, ExtractSchema, Kind, RawTable
from asof.extracts.sources import CsvFile
from training.data.extracts.extract import DeliveredTable, read_extract
from training.data.extracts.known_ids import KnownIds

KEY = Column("id", Kind.TEXT)
COLUMNS = (
    KEY,
    Column("fee", Kind.NUMBER, nullable=True),
    Column("visits", Kind.INTEGER, nullable=True),
    Column("since", Kind.DATE, nullable=True),
    Column("paperless", Kind.BOOLEAN, nullable=True),
)
ROWS = [
    {"id": "Zoë", "fee": 1234.5, "visits": 12345, "since": date(2024, 1, 31), "paperless": True},
    {"id": "Tom", "fee": None, "visits": None, "since": None, "paperless": False},
]
PLAIN = "id,fee,visits,since,paperless\nZoë,1234.5,12345,2024-01-31,True\nTom,,,,False\n"
GERMAN = CsvFile(
    separator=";", decimal=",", thousands=".", encoding="cp1252", quote="'", date_format=("%d.%m.%Y",),
    nulls=("", "NA"), true=("ja",), false=("nein",), header={"Kennung": "id", "Gebühr": "fee"}, ignored=("Notiz",),
)  # fmt: skip
GERMAN_FILE = (
    "Kennung;Gebühr;visits;since;paperless;Notiz\r\n'Zoë';1.234,5;12.345;31.01.2024;JA;'x;y'\r\nTom;NA;NA;;Nein;\r\n"
)


def table(source: CsvFile, columns: tuple[Column, ...] = COLUMNS) -> ExtractSchema:
    users = RawTable("users", columns, source=source)
    return ExtractSchema("id", "users", (users,), RawTable("labels", (KEY, Column("l", Kind.BOOLEAN))), "l")


def read(folder: Path, source: CsvFile, content: bytes, name: str = "users.csv") -> DeliveredTable:
    (folder / name).write_bytes(content)
    (delivered,) = read_extract(folder, table(source), _nobody)
    return delivered


def _nobody() -> KnownIds:
    raise AssertionError("the ids of the database are for label deliveries only")


def _r_export(text: str) -> str:
    return text.replace("True", "TRUE").replace("False", "FALSE").replace(",,,,", ",NA,NA,NA,")


DIALECTS: dict[str, tuple[CsvFile, bytes]] = {
    "Excel in German": (GERMAN, GERMAN_FILE.encode("cp1252")),
    "R": (CsvFile(nulls=("NA",)), _r_export(PLAIN).encode()),
    "tabs, UTF-16": (CsvFile(separator="\t", encoding="utf-16"), PLAIN.replace(",", "\t").encode("utf-16")),
    "a header in capitals": (CsvFile(any_case=True), PLAIN.replace("fee,visits", "FEE,Visits").encode()),
    "mapped in any case": (
        CsvFile(any_case=True, header={"Customer": "id"}, ignored=("NOTE",)),
        PLAIN.replace("id,", "CUSTOMER,")
        .replace("paperless", "paperless,note")
        .replace("e\nT", "e,\nT")
        .replace("False", "False,ok")
        .encode(),
    ),
    "t and f": (CsvFile(true=("t", "1"), false=("f", "0")), PLAIN.replace("True", "T").replace("False", "0").encode()),
    "two forms of dates": (
        CsvFile(date_format=("%Y-%m-%d", "%m/%d/%Y")),
        PLAIN.replace("2024-01-31", "01/31/2024").encode(),
    ),
    "thousands with commas": (
        CsvFile(separator=";", thousands=","),
        PLAIN.replace(",", ";").replace("1234.5", "1,234.5").replace("12345", "12,345").encode(),
    ),
    "no quotes": (CsvFile(quote=""), PLAIN.encode()),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_declared_dialect_gives_the_same_rows(tmp_path: Path, dialect: str) -> None:
    source, content = DIALECTS[dialect]
    assert read(tmp_path, source, content).rows.to_pylist() == ROWS


def _zstd(content: bytes) -> bytes:
    sink = arrow.BufferOutputStream()
    with arrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("zst", _zstd)])
def test_a_packed_file_is_unpacked_and_known_by_its_own_bytes(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    name = f"users.csv.{suffix}"
    delivered = read(tmp_path, GERMAN, pack(GERMAN_FILE.encode("cp1252")), name)
    assert (delivered.rows.to_pylist(), delivered.file) == (ROWS, name)
    with pytest.raises(ExtractError, match=rf"users\.csv\.{suffix}: cannot be unpacked as \w+: .*deliver it again"):
        read(tmp_path, GERMAN, pack(GERMAN_FILE.encode("cp1252"))[:-8], name)
    (tmp_path / "users.csv").touch()
    with pytest.raises(ExtractError, match=rf"users\.csv: users\.csv\.{suffix} is there too: remove one"):
        read_extract(tmp_path, table(GERMAN), _nobody)


CONTRADICTIONS: dict[str, tuple[CsvFile, str, str]] = {
    "commas, semicolons declared": (
        CsvFile(separator=";"), PLAIN,
        r"separated by commas, and CsvFile\(separator=';'\) is declared: set CsvFile\(separator=','\)",
    ),
    "semicolons, none declared": (
        CsvFile(), PLAIN.replace(",", ";"), r"separated by semicolons; .*, or set CsvFile\(separator=';'\)",
    ),
    "another encoding": (CsvFile(), PLAIN, r"not UTF-8 text .*or set CsvFile\(encoding='cp1252'\)"),
    "not the declared encoding": (CsvFile(encoding="ascii"), PLAIN, "not ascii text as declared .*set CsvFile"),
    "a decimal comma": (CsvFile(separator=";"), PLAIN.replace(",", ";").replace("1234.5", "1234,5"),
                        r"row 2 has '1234,5'; it looks like CsvFile\(decimal=','\)"),
    "a decimal point": (CsvFile(decimal=",", separator=";"), PLAIN.replace(",", ";"),
                        "must be a finite number, with a ','; row 2 has '1234.5'"),
    "thousands": (CsvFile(), PLAIN.replace("12345,", '"12,345",'), r"'12,345'; it looks like CsvFile\(decimal=','\)"),
    "a date": (CsvFile(), PLAIN.replace("2024-01-31", "31.01.2024"),
                r"looks like CsvFile\(date_format=\('%d.%m.%Y',\)\)"),
    "a boolean": (CsvFile(), PLAIN.replace("True", "yes"), r"looks like CsvFile\(true=\('yes',\), false=\('no',\)\)"),
    "a null": (CsvFile(), PLAIN.replace("Tom,,", "Tom,NA,"),
               r"'NA'; it looks like a null: CsvFile\(nulls=\('', 'NA'\)\)"),
    "booleans of another spelling": (CsvFile(true=("ja",), false=("nein",)), PLAIN,
                                     "must be ja or nein; row 2 has 'True'"),
    "a column that is not declared": (CsvFile(ignored=("fee",)), PLAIN, "column 'fee' is missing"),
    "two for one column": (CsvFile(header={"visits": "fee"}), PLAIN, "column 'fee' is there more than once"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_dialect_that_contradicts_the_file_is_named_with_what_it_looks_like(tmp_path: Path, case: str) -> None:
    source, text, message = CONTRADICTIONS[case]
    with pytest.raises(ExtractError, match=message):
        read(tmp_path, source, text.encode("cp1252" if case == "another encoding" else "utf-8"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": ";;"}, "separator must be one ASCII character, not ';;'"),
        ({"separator": '"'}, "separator and quote are both '\"'"),
        ({"thousands": "."}, "decimal and thousands are both '.'"),
        ({"true": ("J",), "false": ("j",)}, "'j' is listed as true and as false"),
        ({"encoding": "latin-99"}, "knows no encoding 'latin-99'"),
    ],
)
def test_a_dialect_that_cannot_be_is_refused_where_it_is_written(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        CsvFile(**options)


def test_numbers_of_another_dialect_are_read_exactly_or_not_at_all(tmp_path: Path) -> None:
    source = replace(GERMAN, quote="", encoding="utf-8", header={}, ignored=())
    good = {"1.234": 1234.0, "-1.234.567,25": -1234567.25, "0,5": 0.5, "1e3": 1000.0, "12": 12.0}
    rows = "".join(f"u{row};{text};;;\n" for row, text in enumerate(good))
    content = f"id;fee;visits;since;paperless\n{rows}"
    assert read(tmp_path, source, content.encode()).rows["fee"].to_pylist() == list(good.values())

    for bad in ("1.23", "12.34,5", "1,234.5", "1.234.", "1.2345", "1 234"):
        with pytest.raises(ExtractError, match="column fee: row 2 "):
            read(tmp_path, source, f"id;fee;visits;since;paperless\na;{bad};;;\n".encode())
