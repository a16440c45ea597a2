"""One CSV file -> CsvText: its cells as text, and its SHA-256. Kinds and ranges are checked in `validation`.

The file is unpacked and decoded as its dialect says. Arrow checks the number of fields in each row and the encoding;
pandas does not. A byte-order mark, CRLF and quoted commas are accepted; an empty cell is null.
"""

import csv as lines
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.compute as compute
from numpy.typing import ArrayLike
from pyarrow import csv

from asof.errors import ExtractError
from asof.extracts.sources import ALL_OTHERS, PLAIN_CSV, CsvFile
from training.data.extracts.files.csv_dialect import encoding_fault, header_fault
from training.data.extracts.files.data_files import COMPRESSIONS

FIRST_DATA_ROW = 2
"""The header is row 1, as in an editor or a spreadsheet."""
MAX_BLOCK_BYTES = 2**30


@dataclass(frozen=True)
class CsvText:
    """`cells` has the requested columns in the requested order, all text; `sha256` is that of the file's bytes."""

    cells: arrow.Table
    sha256: str


def read_csv_text(path: Path, columns: Sequence[str], dialect: CsvFile = PLAIN_CSV) -> CsvText:
    """Reads a whole file, whose columns may be in any order.

    Raises ExtractError with the findings of the first check that fails: bytes, separator, fields of each row, header,
    line breaks.
    """
    raw = _bytes(path)
    text = _decoded(path, _unpacked(path, raw), dialect)
    if fault := header_fault(text, _expected(columns, dialect), dialect):
        raise ExtractError([f"{path.name}: {fault}"])
    cells = _cells(path, text, columns, dialect)
    _refuse_line_breaks(path, cells)
    return CsvText(cells, hashlib.sha256(raw).hexdigest())


def rows_text(numbers: ArrayLike, count: int | None = None) -> str:
    """Row numbers for a message: the first five, and how many there are (default: as many as the numbers)."""
    rows = np.asarray(numbers)
    count = len(rows) if count is None else count
    first = ", ".join(str(row) for row in rows[:5])
    word, dots = ("row", "") if count == 1 else ("rows", ", ..." if count > 5 else "")
    return f"{word} {first}{dots} ({count} in all; the header is row 1)"


def _expected(columns: Sequence[str], dialect: CsvFile) -> set[str]:
    """The names that the header may have, in lowercase if their case does not matter."""
    names = {*columns, *(name for name, column in dialect.header.items() if column in columns)}
    return {name.lower() for name in names} if dialect.any_case else names


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        fault = f"cannot be read: {error.strerror}; the file must be in {path.parent}"
        raise ExtractError([f"{path.name}: {fault}"]) from error


def _unpacked(path: Path, raw: bytes) -> bytes:
    if not (compression := COMPRESSIONS.get(path.suffix)):
        return raw
    try:
        return bytes(arrow.CompressedInputStream(arrow.BufferReader(raw), compression).read())
    except (OSError, arrow.ArrowException) as error:
        fault = f"cannot be unpacked as {compression}: {error}; deliver it again"
        raise ExtractError([f"{path.name}: {fault}"]) from None


def _decoded(path: Path, raw: bytes, dialect: CsvFile) -> bytes:
    """The file as UTF-8."""
    try:
        text = raw if dialect.encoding.lower() in ("utf-8", "utf8") else raw.decode(dialect.encoding).encode()
    except UnicodeError as error:
        fault = f"not {dialect.encoding} text as declared ({error}); set CsvFile(encoding=...) to what it is"
        raise ExtractError([f"{path.name}: {fault}"]) from None
    if fault := _bytes_fault(text):
        raise ExtractError([f"{path.name}: {fault}"])
    return text


def _bytes_fault(raw: bytes) -> str:
    if not raw:
        return "the file is empty, without even a header; deliver it again"
    if fault := encoding_fault(raw):
        return fault
    if not raw.endswith((b"\n", b"\r")):
        row = raw.count(b"\n") + 1
        return f"row {row}, the last, has no line end: the file was cut off; deliver it again"
    return ""


def _cells(path: Path, raw: bytes, columns: Sequence[str], dialect: CsvFile) -> arrow.Table:
    invalid: list[csv.InvalidRow] = []
    try:
        table = _parse(raw, dialect, invalid)
    except arrow.ArrowInvalid as error:
        raise ExtractError([f"{path.name}: cannot be read as CSV: {error}"]) from error
    if invalid:
        rows = rows_text([row.number for row in invalid])
        expected = f"must have {len(table.column_names)} fields, as the header has"
        example = f"row {invalid[0].number} has {invalid[0].actual_columns}: look at its commas and quotes"
        raise ExtractError([f"{path.name}: {rows}: {expected}; {example}"])
    table = _renamed(table, columns, dialect)
    _require_columns(path, table.column_names, columns)
    if not table.num_rows:
        raise ExtractError([f"{path.name}: there are no rows below the header (row 1); deliver the file again"])
    return table.select(list(columns))


def _renamed(table: arrow.Table, columns: Sequence[str], dialect: CsvFile) -> arrow.Table:
    """The columns under their names in the schema, without those that are ignored."""
    fold = str.lower if dialect.any_case else str
    names: Mapping[str, str] = {fold(each): each for each in columns}
    names = {**names, **{fold(name): column for name, column in dialect.header.items()}}
    ignored = {fold(name) for name in dialect.ignored}
    if dialect.ignored == ALL_OTHERS:
        ignored = {fold(name) for name in table.column_names if fold(name) not in names}
    kept = [place for place, name in enumerate(table.column_names) if fold(name) not in ignored]
    found = [table.column_names[place] for place in kept]
    return table.select(kept).rename_columns([names.get(fold(name), name) for name in found])


def _parse(raw: bytes, dialect: CsvFile, invalid: list[csv.InvalidRow]) -> arrow.Table:
    def skip(row: csv.InvalidRow) -> str:
        invalid.append(row)
        return "skip"

    return csv.read_csv(
        io.BytesIO(raw),
        # Only with one thread and one block does Arrow number the rows, and read an open quote to its end.
        csv.ReadOptions(use_threads=False, block_size=min(len(raw), MAX_BLOCK_BYTES)),
        csv.ParseOptions(
            delimiter=dialect.separator,
            quote_char=dialect.quote or False,
            ignore_empty_lines=False,
            invalid_row_handler=skip,
        ),
        csv.ConvertOptions(
            column_types=dict.fromkeys(_header(raw, dialect), arrow.string()),
            null_values=list(dialect.nulls),
            strings_can_be_null=True,
        ),
    )


def _header(raw: bytes, dialect: CsvFile) -> list[str]:
    """The names in the first row, all of whose columns are read as text."""
    row = re.split(rb"[\r\n]", raw, maxsplit=1)[0].decode("utf-8-sig")
    quoting = {"quotechar": dialect.quote} if dialect.quote else {"quoting": lines.QUOTE_NONE}
    return next(lines.reader([row], delimiter=dialect.separator, **quoting), [])


def _require_columns(path: Path, actual: Sequence[str], expected: Sequence[str]) -> None:
    rules = {
        "is missing": [name for name in expected if name not in actual],
        "is unknown; remove it, or add it to the schema": dict.fromkeys(
            each for each in actual if each not in expected
        ),
        "is there more than once": dict.fromkeys(name for name in expected if actual.count(name) > 1),
    }
    findings = [f"{path.name}: row 1, the header: column {name!r} {rule}" for rule in rules for name in rules[rule]]
    if findings:
        raise ExtractError(findings)


def _refuse_line_breaks(path: Path, cells: arrow.Table) -> None:
    for name in cells.column_names:
        breaks = compute.match_substring_regex(cells[name], "[\r\n]")
        row = compute.index(breaks, value=True).as_py()
        if row >= 0:
            # A quote that is never closed takes in all following rows, so those cannot be counted.
            fault = "a line break inside a value; is the quote before it closed?"
            raise ExtractError(
                [f"{path.name}: column {name}: row {row + FIRST_DATA_ROW} (the header is row 1): {fault}"]
            )
