"""One CSV file -> CsvText: its cells as text, with nothing guessed, and its SHA-256. Knows CSV, and no kinds or ranges.

Arrow reads the cells: it checks the number of fields in each row and the encoding, which pandas forgives. A byte-order
mark, CRLF and quoted commas are good; an empty cell is null.
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

FIRST_ROW = 2
"""The row number of the first data row: as in an editor or a spreadsheet, the header is row 1."""
LARGEST_BLOCK = 2**30


@dataclass(frozen=True)
class CsvText:
    """`cells` has the asked columns in the asked order, all text; `sha256` is that of the file's bytes."""

    cells: arrow.Table
    sha256: str


def read_csv_text(path: Path, columns: Sequence[str]) -> CsvText:
    """Reads a whole file; its columns may stand in any order.

    Raises ExtractError with the findings of the first step that fails: bytes, separator, fields of each row, header,
    line breaks.
    """
    raw = _bytes(path)
    if fault := header_fault(raw, columns):
        raise ExtractError([f"{path.name}: {fault}"])
    cells = _cells(path, raw, columns)
    _refuse_line_breaks(path, cells)
    return CsvText(cells, hashlib.sha256(raw).hexdigest())


def rows_text(numbers: ArrayLike) -> str:
    """Row numbers for people: the first five, and how many they are."""
    rows = np.asarray(numbers)
    first = ", ".join(str(row) for row in rows[:5])
    word, dots = ("row", "") if len(rows) == 1 else ("rows", ", ..." if len(rows) > 5 else "")
    return f"{word} {first}{dots} ({len(rows)} in all; the header is row 1)"


def _bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ExtractError(
            [f"{path.name}: cannot be read: {error.strerror}; the file must be in {path.parent}"]
        ) from error
    if not raw:
        raise ExtractError([f"{path.name}: the file is empty, not even a header is there; deliver it again"])
    if fault := encoding_fault(raw):
        raise ExtractError([f"{path.name}: {fault}"])
    if not raw.endswith((b"\n", b"\r")):
        row = raw.count(b"\n") + 1
        raise ExtractError(
            [f"{path.name}: row {row}, the last, has no line end: the file was cut off; deliver it again"]
        )
    return raw


def _cells(path: Path, raw: bytes, columns: Sequence[str]) -> arrow.Table:
    broken: list[tuple[int, int]] = []
    try:
        table = _parse(raw, columns, broken)
    except arrow.ArrowInvalid as error:
        raise ExtractError([f"{path.name}: cannot be read as CSV: {error}"]) from error
    if broken:
        where = rows_text([row for row, _ in broken])
        wanted = f"must have {len(table.column_names)} fields, as the header has"
        found = f"row {broken[0][0]} has {broken[0][1]}: look at its commas and quotes"
        raise ExtractError([f"{path.name}: {where}: {wanted}; {found}"])
    _refuse_other_columns(path, table.column_names, columns)
    if not table.num_rows:
        raise ExtractError([f"{path.name}: there are no rows below the header (row 1); deliver the file again"])
    return table.select(list(columns))


def _parse(raw: bytes, columns: Sequence[str], broken: list[tuple[int, int]]) -> arrow.Table:
    def skip(row: csv.InvalidRow) -> str:
        broken.append((row.number, row.actual_columns))
        return "skip"

    return csv.read_csv(
        io.BytesIO(raw),
        # In one thread and one block: only so does Arrow number the rows, and read an open quote to its end.
        csv.ReadOptions(use_threads=False, block_size=min(len(raw), LARGEST_BLOCK)),
        csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=skip),
        csv.ConvertOptions(
            column_types=dict.fromkeys(columns, arrow.string()), null_values=[""], strings_can_be_null=True
        ),
    )


def _refuse_other_columns(path: Path, found: Sequence[str], wanted: Sequence[str]) -> None:
    rules = {
        "is missing": [name for name in wanted if name not in found],
        "is unknown; remove it, or add it to the schema": dict.fromkeys(name for name in found if name not in wanted),
        "stands there more than once": dict.fromkeys(name for name in wanted if found.count(name) > 1),
    }
    findings = [f"{path.name}: row 1, the header: column {name!r} {rule}" for rule in rules for name in rules[rule]]
    if findings:
        raise ExtractError(findings)


def _refuse_line_breaks(path: Path, cells: arrow.Table) -> None:
    for name in cells.column_names:
        breaks = compute.match_substring_regex(cells[name], "[\r\n]")
        row = compute.index(breaks, value=True).as_py()
        if row >= 0:
            # A quote that was never closed swallows all that follows; the rows after it cannot be counted.
            fault = "a line break inside a value; is the quote before it closed?"
            raise ExtractError([f"{path.name}: column {name}: row {row + FIRST_ROW} (the header is row 1): {fault}"])
