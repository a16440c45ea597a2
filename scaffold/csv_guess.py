"""The bytes of a CSV file -> its dialect, as far as it can be seen, and its cells as text."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as arrow
import pyarrow.compute as compute
from pyarrow import csv

from asof.errors import DataError
from asof.extracts.sources import CsvFile
from scaffold.profile import FALSE_AND_TRUE, spelling_of

SAMPLE_ROWS = 200_000
"""Rows that are read: enough to see kinds and values."""
SEPARATORS = (",", ";", "\t", "|")
NULLS = ("NA", "N/A", "NULL", "null", "NaN", "nan", "None", "\\N", "?")
"""Spellings of a missing value; one is declared where it stands among numbers."""
_DECIMAL_COMMA = r"^-?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?$"
_NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def read_csv(path: Path) -> tuple[CsvFile, arrow.Table]:
    """The dialect of a file and at most SAMPLE_ROWS rows of text, null where a cell is missing.

    Raises DataError for a file that is no CSV file.
    """
    try:
        with arrow.input_stream(str(path), compression="detect") as stream:
            head = stream.read(2**16)
        dialect = CsvFile(separator=_separator(head), encoding=_encoding(head))
        cells = _cells(path, dialect)
    except (OSError, UnicodeError, arrow.ArrowInvalid) as error:
        raise DataError(f"{path} cannot be read as CSV: {str(error).splitlines()[0]}") from error
    dialect = replace(dialect, nulls=("", *_nulls(cells)))
    cells = _without(cells, dialect.nulls)
    false, true = _booleans(cells)
    dialect = replace(dialect, true=true, false=false)
    if not _has_decimal_commas(cells):
        return dialect, cells
    return replace(dialect, decimal=",", thousands="." if _has_thousands(cells) else ""), _with_points(cells)


def _encoding(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        head.rsplit(b"\n", 1)[0].decode()
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _separator(head: bytes) -> str:
    """That with the most fields in the header, if the second row has as many."""
    lines = head.decode(_encoding(head), errors="replace").lstrip("\ufeff").splitlines()[:2]
    return max(SEPARATORS, key=lambda each: min(line.count(each) for line in lines) if lines else 0)


def _cells(path: Path, dialect: CsvFile) -> arrow.Table:
    with arrow.input_stream(str(path), compression="detect") as stream:
        text = stream.read().decode(dialect.encoding).removeprefix("\ufeff").encode()
    parse = csv.ParseOptions(delimiter=dialect.separator)
    names = csv.open_csv(io.BytesIO(text), parse_options=parse).schema.names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path}: row 1, the header: column {twice[0]!r} is there more than once. Rename one of them.")
    types = csv.ConvertOptions(
        column_types=dict.fromkeys(names, arrow.string()), null_values=[""], strings_can_be_null=True
    )
    return csv.read_csv(io.BytesIO(text), parse_options=parse, convert_options=types).slice(0, SAMPLE_ROWS)


def _nulls(cells: arrow.Table) -> list[str]:
    """The spellings of NULLS that stand among values which are numbers otherwise."""
    found: dict[str, None] = {}
    for column in cells.columns:
        is_null = compute.is_in(column, arrow.array(NULLS))
        others = column.filter(compute.invert(is_null)).drop_null()
        if compute.any(is_null).as_py() and _all(others, rf"{_NUMBER}|{_DECIMAL_COMMA}"):
            found |= dict.fromkeys(column.filter(is_null).unique().to_pylist())
    return list(found)


def _has_decimal_commas(cells: arrow.Table) -> bool:
    """Whether a column has numbers with a comma, and none has one with a point that is no thousands mark."""
    columns = [column.drop_null() for column in cells.columns]
    commas = any(_all(c, _DECIMAL_COMMA) and _any(c, ",") for c in columns)
    return commas and not any(_all(c, _NUMBER) and not _all(c, _DECIMAL_COMMA) for c in columns)


def _has_thousands(cells: arrow.Table) -> bool:
    return any(_all(c, _DECIMAL_COMMA) and _any(c, r"\.") for c in (column.drop_null() for column in cells.columns))


def _with_points(cells: arrow.Table) -> arrow.Table:
    def point(column: arrow.ChunkedArray) -> arrow.ChunkedArray:
        if not _all(column.drop_null(), _DECIMAL_COMMA):
            return column
        return compute.replace_substring(compute.replace_substring(column, ".", ""), ",", ".")

    return arrow.table([point(column) for column in cells.columns], cells.column_names)


def _without(cells: arrow.Table, nulls: tuple[str, ...]) -> arrow.Table:
    is_in = arrow.array(nulls)
    columns = [compute.if_else(compute.is_in(column, is_in), None, column) for column in cells.columns]
    return arrow.table(columns, cells.column_names)


def _booleans(cells: arrow.Table) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The spellings of False and of True in the file's boolean columns."""
    pairs = {spelling_of(few) for few in _few_values(cells)} - {None}
    known = [pair for pair in FALSE_AND_TRUE if pair in pairs] or [FALSE_AND_TRUE[0]]
    return tuple(pair[0] for pair in known), tuple(pair[1] for pair in known)


def _few_values(cells: arrow.Table) -> Iterator[list[str]]:
    for column in cells.columns:
        values = column.drop_null().unique()
        if len(values) <= 6:
            yield values.to_pylist()


def _all(text: arrow.ChunkedArray, pattern: str) -> bool:
    return len(text) > 0 and bool(compute.all(compute.match_substring_regex(text, pattern)).as_py())


def _any(text: arrow.ChunkedArray, pattern: str) -> bool:
    return bool(compute.any(compute.match_substring_regex(text, pattern)).as_py())
