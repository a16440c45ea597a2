"""One CSV file -> CsvText: its cells as text, and its SHA-256. Kinds and ranges are checked in `validation`.

Arrow checks the number of fields in each row and the encoding; pandas does not. A byte-order mark, CRLF and quoted
commas are accepted; an empty cell is null.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.compute as compute
from numpy.typing import ArrayLike
from pyarrow import csv

from asof.errors import ExtractError
from training.data.extracts.csv_dialect import encoding_fault, header_fault

FIRST_DATA_ROW = 2
"""The header is row 1, as in an editor or a spreadsheet."""
MAX_BLOCK_BYTES = 2**30


@dataclass(frozen=True)
class CsvText:
    """`cells` has the requested columns in the requested order, all text; `sha256` is that of the file's bytes."""

    cells: arrow.Table
    sha256: str


def read_csv_text(path: Path, columns: Sequence[str]) -> CsvText:
    """Reads a whole file, whose columns may be in any order.

    Raises ExtractError with the findings of the first check that fails: bytes, separator, fields of each row, header,
    line breaks.
    """
    raw = _bytes(path)
    if fault := header_fault(raw, columns):
        raise ExtractError([f"{path.name}: {fault}"])
    cells = _cells(path, raw, columns)
    _refuse_line_breaks(path, cells)
    return CsvText(cells, hashlib.sha256(raw).hexdigest())


def rows_text(numbers: ArrayLike) -> str:
    """Row numbers for a message: the first five, and how many there are."""
    rows = np.asarray(numbers)
    first = ", ".join(str(row) for row in rows[:5])
    word, dots = ("row", "") if len(rows) == 1 else ("rows", ", ..." if len(rows) > 5 else "")
    return f"{word} {first}{dots} ({len(rows)} in all; the header is row 1)"


def _bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        fault = f"cannot be read: {error.strerror}; the file must be in {path.parent}"
        raise ExtractError([f"{path.name}: {fault}"]) from error
    if fault := _bytes_fault(raw):
        raise ExtractError([f"{path.name}: {fault}"])
    return raw


def _bytes_fault(raw: bytes) -> str:
    if not raw:
        return "the file is empty, without even a header; deliver it again"
    if fault := encoding_fault(raw):
        return fault
    if not raw.endswith((b"\n", b"\r")):
        row = raw.count(b"\n") + 1
        return f"row {row}, the last, has no line end: the file was cut off; deliver it again"
    return ""


def _cells(path: Path, raw: bytes, columns: Sequence[str]) -> arrow.Table:
    invalid: list[csv.InvalidRow] = []
    try:
        table = _parse(raw, columns, invalid)
    except arrow.ArrowInvalid as error:
        raise ExtractError([f"{path.name}: cannot be read as CSV: {error}"]) from error
    if invalid:
        rows = rows_text([row.number for row in invalid])
        expected = f"must have {len(table.column_names)} fields, as the header has"
        example = f"row {invalid[0].number} has {invalid[0].actual_columns}: look at its commas and quotes"
        raise ExtractError([f"{path.name}: {rows}: {expected}; {example}"])
    _require_columns(path, table.column_names, columns)
    if not table.num_rows:
        raise ExtractError([f"{path.name}: there are no rows below the header (row 1); deliver the file again"])
    return table.select(list(columns))


def _parse(raw: bytes, columns: Sequence[str], invalid: list[csv.InvalidRow]) -> arrow.Table:
    def skip(row: csv.InvalidRow) -> str:
        invalid.append(row)
        return "skip"

    return csv.read_csv(
        io.BytesIO(raw),
        # Only with one thread and one block does Arrow number the rows, and read an open quote to its end.
        csv.ReadOptions(use_threads=False, block_size=min(len(raw), MAX_BLOCK_BYTES)),
        csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=skip),
        csv.ConvertOptions(
            column_types=dict.fromkeys(columns, arrow.string()), null_values=[""], strings_can_be_null=True
        ),
    )


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
