"""Reading extracts without a database: good oddities of CSV files, kinds of values, which rows a rule sees."""

import gzip
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as arrow
import pytest
from pandera.config import ValidationDepth, config_context

from asof.errors import ExtractError
from asof.extracts.schema import Column, ExtractSchema, Kind, RawTable, Rule
from asof.use_cases.churn.raw_schema import EXTRACT
from tests.kits.data.extracts import Edit, Files, edited, extract_files, write
from training.data.extracts.cell_types import parse_cells
from training.data.extracts.extract import read_extract
from training.data.extracts.files.csv_file import rows_text
from training.data.extracts.known_ids import KnownIds


def _no_ids() -> KnownIds:
    raise AssertionError("the ids of the database are for label deliveries only")


def _rows(folder: Path, files: Files, schema: ExtractSchema = EXTRACT) -> dict[str, list[dict[str, object]]]:
    delivery = read_extract(write(folder, files), schema, _no_ids)
    return {part.table.name: part.rows.to_pylist() for part in delivery}


def _quoted(content: bytes) -> bytes:
    lines = content.decode().splitlines()
    return "".join(",".join(f'"{cell}"' for cell in line.split(",")) + "\n" for line in lines).encode()


def _columns_reversed(content: bytes) -> bytes:
    return "".join(",".join(line.split(",")[::-1]) + "\n" for line in content.decode().splitlines()).encode()


ODDITIES: dict[str, Edit] = {
    "CRLF": lambda content: content.replace(b"\n", b"\r\n"),
    "byte-order mark": lambda content: b"\xef\xbb\xbf" + content,
    "both": lambda content: b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"),
    "all cells quoted": _quoted,
    "columns in another order": _columns_reversed,
    "lower case booleans": lambda content: content.replace(b"True", b"true").replace(b"False", b"false"),
    "whole numbers with a fraction": lambda content: content.replace(b",0\n", b",0.0\n").replace(b",1\n", b",1.\n"),
}


@pytest.mark.parametrize("oddity", ODDITIES)
def test_an_odd_but_good_file_gives_the_same_rows(tmp_path: Path, oddity: str) -> None:
    plain = extract_files()
    odd = {name: ODDITIES[oddity](content) for name, content in plain.items()}
    assert odd != plain

    assert _rows(tmp_path / "odd", odd) == _rows(tmp_path / "plain", plain)


def test_a_quoted_comma_stays_inside_its_value(tmp_path: Path) -> None:
    ids = {name: content.replace(b"0003-ABCDE", b'"0003, ""A"""') for name, content in extract_files().items()}

    assert [table[3]["user_id"] for table in _rows(tmp_path / "extract", ids).values()] == ['0003, "A"'] * 6


def test_labels_are_read_where_they_are_there(tmp_path: Path) -> None:
    assert list(_rows(tmp_path / "with", extract_files())) == [*(table.name for table in EXTRACT.tables), "labels"]
    assert "labels" not in _rows(tmp_path / "without", extract_files(labels=False))


def test_files_that_the_schema_does_not_know_are_left_alone(tmp_path: Path) -> None:
    assert len(_rows(tmp_path / "extract", {**extract_files(), "truth": b"no CSV at all"})) == 6


def test_ids_are_not_judged_where_the_file_of_users_cannot_be_read(tmp_path: Path) -> None:
    files = edited(extract_files(), users=lambda content: content[:-1])

    with pytest.raises(ExtractError) as refusal:
        _rows(tmp_path / "extract", files)

    assert [finding.split(":")[0] for finding in refusal.value.findings] == ["users.csv"]


@pytest.mark.parametrize(
    "switch", [{"validation_enabled": False}, {"validation_depth": ValidationDepth.SCHEMA_ONLY}], ids=str
)
def test_checks_cannot_be_switched_off_from_outside(tmp_path: Path, switch: dict[str, Any]) -> None:
    files = edited(extract_files(), subscriptions=lambda content: content.replace(b"24.25", b"abc"))

    with config_context(**switch), pytest.raises(ExtractError, match="column monthly_fee: row 6 "):
        _rows(tmp_path / "extract", files)


# --- what is no CSV of ours


def _separated_by(separator: str) -> Edit:
    return lambda content: content.replace(b".", b",").replace(b",", separator.encode())


def _below(text: str) -> Edit:
    return lambda content: text.encode() + content


OTHERS: dict[str, tuple[Edit, str]] = {
    "semicolons, numbers with commas": (
        lambda content: content.replace(b",", b";").replace(b".", b","),
        "row 1, the header: the fields are separated by semicolons; save the file with commas, and numbers with a p",
    ),
    "tabs": (_separated_by("\t"), "row 1, the header: the fields are separated by tabs"),
    "bars": (_separated_by("|"), "row 1, the header: the fields are separated by vertical bars"),
    "bars and blanks": (_separated_by(" | "), "separated by vertical bars"),
    "blanks": (_separated_by(" "), "separated by blanks"),
    "semicolons, quoted": (lambda content: _quoted(content).replace(b'","', b'";"'), "separated by semicolons"),
    "semicolons below a mark": (
        lambda content: b"\xef\xbb\xbf" + content.replace(b",", b";"),
        "separated by semicolons",
    ),
    "semicolons, unknown names": (
        lambda content: content.replace(b",", b";").replace(b"_", b" "),
        "separated by semicolons",
    ),
    "sep=,": (_below("sep=,\n"), "row 1 is 'sep=,', and the header is in row 2: delete the rows above it"),
    "sep=;": (
        lambda content: b"sep=;\r\n" + content.replace(b",", b";"),
        "the header is in row 2: delete the rows above it; row 2, the header: the fields are separated by semicolons",
    ),
    "a blank first line": (_below("\n"), "row 1 is '', and the header is in row 2: delete"),
    "blank first lines": (_below("\r\n\r\n \r\n"), "row 1 is '', and the header is in row 4: delete"),
    "a line of separators": (_below(",,,,\n"), "row 1 is ',,,,', and the header is in row 2: delete"),
    "a title": (
        _below("Export of 31 January, page 1\n\n"),
        "row 1 is 'Export of 31 January, page 1', and the header is",
    ),
    "UTF-16": (
        lambda content: content.decode().encode("utf-16"),
        "not UTF-8 text but UTF-16 text; save the file as UTF-8",
    ),
    "UTF-16 without a mark": (lambda content: content.decode().encode("utf-16-le"), "but UTF-16 text; save"),
    "UTF-16, the other way round": (lambda content: content.decode().encode("utf-16-be"), "but UTF-16 text; save"),
    "UTF-32": (lambda content: content.decode().encode("utf-32"), "but UTF-32 text; save"),
    "Latin-1": (lambda content: content.replace(b"ABCDE", "é".encode("latin-1")), r"not UTF-8 text \(Windows-1252 or"),
    "gzip": (gzip.compress, "row 1, byte 1 of the file: not UTF-8 text but a gzip archive"),
    "an Excel workbook": (_below("PK\3\4\0"), "not UTF-8 text but a ZIP archive or an Excel workbook"),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("file", ["payments_agg_90d", "subscriptions"])
def test_another_separator_encoding_or_first_line_is_named_and_what_to_do(
    tmp_path: Path, other: str, file: str
) -> None:
    edit, message = OTHERS[other]

    with pytest.raises(ExtractError, match=message) as refusal:
        _rows(tmp_path / "extract", edited(extract_files(), **{file: edit}))

    assert [finding.split(":")[0] for finding in refusal.value.findings] == [f"{file}.csv"]


# --- rules


def _schema_with(rule: Rule) -> ExtractSchema:
    payments = RawTable("payments", (Column("user_id", Kind.TEXT), Column("n", Kind.INTEGER, nullable=True)), (rule,))
    users = RawTable("users", (Column("user_id", Kind.TEXT),))
    return replace(EXTRACT, tables=(users, payments))


FILES = {"users": b"user_id\na\nb\nc\n"}


def test_a_rule_sees_only_rows_that_could_be_read(tmp_path: Path) -> None:
    seen: list[pd.DataFrame] = []

    def holds(rows: pd.DataFrame) -> "pd.Series[bool]":
        seen.append(rows)
        return rows["n"].ne(3)

    schema = _schema_with(Rule("n is not three", ("n",), holds))
    with pytest.raises(ExtractError) as refusal:
        _rows(tmp_path / "extract", {**FILES, "payments": b"user_id,n\na,x\nb,\nc,3\n"}, schema)

    assert seen[0]["user_id"].tolist() == ["b", "c"]
    assert seen[0]["n"].dtype == "Int64"
    assert refusal.value.findings == (
        "payments.csv: column n: row 2 (1 in all; the header is row 1): must be a whole number of at most 18 digits; "
        "row 2 has 'x'",
        "payments.csv: column n: rows 3, 4 (2 in all; the header is row 1): n is not three; row 3 has nothing",
    )


def test_a_rule_that_fails_itself_refuses_the_file(tmp_path: Path) -> None:
    schema = _schema_with(Rule("n is there", ("n",), lambda rows: rows["m"]))

    with pytest.raises(
        ExtractError, match=r"payments\.csv: column n: n is there: the rule itself failed: .*KeyError.*m"
    ):
        _rows(tmp_path / "extract", {**FILES, "payments": b"user_id,n\na,1\n"}, schema)


# --- kinds


UUID = "6f1c0a9e-8a54-4c3b-9a55-0d2f5e7b1c44"
PI = 3.141592653589793
READINGS: dict[Kind, tuple[dict[str, object], list[str]]] = {
    Kind.TEXT: (
        {"a b": "a b", "é" * 500: "é" * 500, "NA": "NA"},
        [" a", "a ", "a\t", "a\u00a0", " ", "a" * 501],
    ),
    Kind.INTEGER: (
        {"7": 7, "-7": -7, "007": 7, "3.0": 3, "3.": 3, "-0": 0, "0" * 30 + "1": 1, "9" * 18: 10**18 - 1},
        ["3.5", "1e3", "+3", " 3", "3 ", "1_000", "0x1", "\u0663", "9" * 19, str(2**63), "3.0.0", "-", "nan"],
    ),
    Kind.NUMBER: (
        {"1": 1.0, "-1.5": -1.5, ".5": 0.5, "5.": 5.0, "1e5": 1e5, "2E-3": 0.002, str(PI): PI},
        ["NaN", "nan", "inf", "-Infinity", "1e999", "-1e999", "1,5", "1.5 ", "\u0663", "0x1", "-", ".", "e5", "1e"],
    ),
    Kind.BOOLEAN: (
        {"True": True, "true": True, "TRUE": True, "False": False, "false": False, "fALSE": False},
        ["1", "0", "yes", "t", "true "],
    ),
    Kind.DATE: (
        {"2024-02-29": date(2024, 2, 29), "1999-12-31": date(1999, 12, 31)},
        ["2023-02-29", "2024-13-01", "20240101", "2024-1-1", "2024-01-01T00:00:00", "01.01.2024", "0000-01-01"],
    ),
    Kind.UUID: (
        {"6f1c0a9e-8a54-4c3b-9a55-0d2f5e7b1c44": UUID, UUID.upper(): UUID},
        [f"{{{UUID}}}", UUID.replace("-", ""), UUID[:-1], f"{UUID}0", UUID.replace("6", "g"), f" {UUID}"],
    ),
}


@pytest.mark.parametrize("kind", Kind)
def test_a_text_is_read_exactly_or_not_at_all(kind: Kind) -> None:
    good, bad = READINGS[kind]
    texts = [*good, *bad, None]
    read = parse_cells(arrow.chunked_array([arrow.array(texts, arrow.string())]), kind).to_pylist()

    assert dict(zip(texts, read, strict=True)) == good | dict.fromkeys(bad) | {None: None}


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([3], "row 3 (1 in all; the header is row 1)"),
        ([2, 4], "rows 2, 4 (2 in all; the header is row 1)"),
        (range(2, 9), "rows 2, 3, 4, 5, 6, ... (7 in all; the header is row 1)"),
    ],
)
def test_row_numbers_are_reported_as_the_first_five_and_their_count(rows: range, text: str) -> None:
    assert rows_text(rows) == text


# --- keys


def _table(name: str, *columns: str) -> RawTable:
    kinds = {"shop": Kind.INTEGER, "device": Kind.UUID, "rating": Kind.NUMBER, "good": Kind.BOOLEAN}
    return RawTable(name, tuple(Column(each, kinds[each]) for each in columns))


PAIRS = ExtractSchema(
    ("shop", "device"),
    "pairs",
    (_table("pairs", "shop", "device"), _table("shops", "rating", "shop")),
    _table("marks", "device", "good", "shop"),
    "good",
)
OTHER = UUID.replace("6", "7")
FILES_OF_PAIRS = {
    "pairs": f"shop,device\n7,{UUID}\n-1,{UUID}\n7,{OTHER}\n".encode(),
    "shops": b"rating,shop\n1.5,7\n2.5,99\n",
    "marks": f"device,good,shop\n{UUID.upper()},True,7\n{OTHER},False,7\n".encode(),
}


def test_rows_of_several_keys_are_read_and_a_table_of_some_keys_may_have_others(tmp_path: Path) -> None:
    read = _rows(tmp_path / "extract", FILES_OF_PAIRS, PAIRS)
    assert read["pairs"][1] == {"shop": -1, "device": UUID}
    assert read["shops"] == [{"rating": 1.5, "shop": 7}, {"rating": 2.5, "shop": 99}]
    assert read["marks"][0] == {"device": UUID, "good": True, "shop": 7}


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (
            "pairs",
            f"7,{OTHER}",
            f"7,{UUID.upper()}",
            "pairs.csv: columns device, shop: rows 2, 4 (2 in all; the header",
        ),
        ("pairs", f"7,{OTHER}", f"7,{UUID.upper()}", "must be unique in the file; row 2 has '6f1c0a9e"),
        (
            "marks",
            f"{OTHER},False,7",
            f"{OTHER},False,-1",
            "columns device, shop: row 3 (1 in all; the header is row 1)",
        ),
        ("marks", f"{OTHER},False,7", f"{OTHER},False,-1", "must be a device and shop of pairs.csv; row 3 has"),
        ("shops", "99", "7", "shops.csv: column shop: rows 2, 3"),
        ("shops", "99", "007", "shops.csv: column shop: row 3 (1 in all; the header is row 1): must be an id: a whole"),
        (
            "pairs",
            f"-1,{UUID}",
            f",{UUID}",
            "pairs.csv: column shop: row 3 (1 in all; the header is row 1): must not be",
        ),
        (
            "pairs",
            f"-1,{UUID}",
            "-1,x",
            "column device: row 3 (1 in all; the header is row 1): must be an id: a UUID as",
        ),
    ],
)
def test_a_row_with_wrong_keys_is_named_with_all_of_them(
    tmp_path: Path, file: str, old: str, new: str, words: str
) -> None:
    broken = FILES_OF_PAIRS | {file: FILES_OF_PAIRS[file].replace(old.encode(), new.encode())}
    assert broken != FILES_OF_PAIRS
    with pytest.raises(ExtractError) as refused:
        _rows(tmp_path / "extract", broken, PAIRS)
    assert words in str(refused.value)
