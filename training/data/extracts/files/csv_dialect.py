"""The bytes of a file -> why it is not in the declared dialect, as one sentence that names what it looks like.

Nothing that is guessed here is used to read the file.
"""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime

from asof.extracts.schema import Kind
from asof.extracts.sources import PLAIN_CSV, CsvFile

FILE_SIGNATURES = {
    BOM_UTF32_LE: "UTF-32 text",  # before UTF-16, whose byte-order mark is a prefix of it
    BOM_UTF32_BE: "UTF-32 text",
    BOM_UTF16_LE: "UTF-16 text",
    BOM_UTF16_BE: "UTF-16 text",
    b"\x1f\x8b": "a gzip archive",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"PAR1": "a Parquet file",
}
CODECS = {"UTF-16": "utf-16", "UTF-32": "utf-32", "Windows-1252": "cp1252"}
SEPARATORS = {
    ",": "commas",
    ";": "semicolons",
    "\t": "tabs",
    "|": "vertical bars",
    ":": "colons",
    "^": "carets",
    "~": "tildes",
    " ": "blanks",
}
HEADER_SEARCH_BYTES, HEADER_SEARCH_LINES = 2**16, 20
LOOKS_LIKE = {
    "decimal=','": re.compile(r"-?\d+,\d+|-?\d{1,3}(\.\d{3})+,\d+"),
    "thousands=','": re.compile(r"-?\d{1,3}(,\d{3})+(\.\d+)?"),
    "thousands='.'": re.compile(r"-?\d{1,3}(\.\d{3}){2,}"),
}
"""Numbers of other dialects; the first that fits names them."""
DATE_FORMATS = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%Y%m%d", "%d-%m-%Y", "%d-%b-%Y", "%d.%m.%y"),
    *("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y %H:%M:%S"),
)
BOOLEANS = (("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"), ("1", "0"), ("ja", "nein"), ("on", "off"))
NULLS = frozenset({"na", "n/a", "null", "nan", "none", "nil", "-", "?", "\\n", "#n/a", "."})


def encoding_fault(raw: bytes) -> str:
    """Where the bytes are not UTF-8 text, what they are and what to do; empty if they are."""
    try:
        raw.decode()
        offset = raw.find(b"\0")
    except UnicodeDecodeError as error:
        offset = error.start
    if offset < 0:
        return ""
    row = raw.count(b"\n", 0, offset) + 1
    likely = _likely_format(raw)
    codec = next((codec for name, codec in CODECS.items() if name in likely), "")
    declare = f", or set CsvFile(encoding={codec!r})" if codec else ""
    return f"row {row}, byte {offset} of the file: not UTF-8 text{likely}; save the file as UTF-8 CSV{declare}"


def header_fault(raw: bytes, columns: Collection[str], dialect: CsvFile = PLAIN_CSV) -> str:
    """What the first line is if it is not a header of the dialect, and what to do; else empty.

    `columns` are the expected names, in lowercase if their case does not matter. Missing and unknown columns are not
    reported here.
    """
    text = raw[:HEADER_SEARCH_BYTES].removeprefix(BOM_UTF8).decode(errors="ignore")
    lines = (text.lower() if dialect.any_case else text).splitlines()[:HEADER_SEARCH_LINES]
    separators, own = SEPARATORS | {dialect.separator: ""}, dialect.separator
    scores = [max((len(_names(line, each) & set(columns)), each == own, each) for each in separators) for line in lines]
    header = next((line for line, (names, *_) in enumerate(scores) if names >= min(2, len(columns))), None)
    if header is None:
        return _unknown_header_fault(lines[0], len(columns), own) if lines else ""
    above = f"row 1 is {lines[0][:60]!r}, and the header is in row {header + 1}: delete the rows above it"
    return "; ".join(filter(None, [above if header else "", _separator_fault(scores[header][2], header + 1, own)]))


def spelling_hint(kind: Kind, cell: str) -> str:
    """What a cell that is not of the kind looks like, and what to declare; empty if that is unclear."""
    if cell.strip().casefold() in NULLS:
        return f"it looks like a null: CsvFile(nulls=('', {cell!r}))"
    if kind in (Kind.INTEGER, Kind.NUMBER):
        looks = next((each for each, pattern in LOOKS_LIKE.items() if pattern.fullmatch(cell)), "")
        return f"it looks like CsvFile({looks})" if looks else ""
    if kind is Kind.BOOLEAN:
        pair = next((pair for pair in BOOLEANS if cell.casefold() in pair), None)
        return f"it looks like CsvFile(true=({pair[0]!r},), false=({pair[1]!r},))" if pair else ""
    looks = next((each for each in DATE_FORMATS if _is_date(cell, each)), "") if kind is Kind.DATE else ""
    return f"it looks like CsvFile(date_format=({looks!r},))" if looks else ""


def _is_date(cell: str, date_format: str) -> bool:
    with suppress(ValueError):
        return bool(datetime.strptime(cell, date_format))  # noqa: DTZ007 - only whether it fits
    return False


def _likely_format(raw: bytes) -> str:
    """By the file signature, or by zeros in every other byte."""
    for signature, name in FILE_SIGNATURES.items():
        if raw.startswith(signature):
            return f" but {name}"
    if any(raw[start:200:2] and not raw[start:200:2].strip(b"\0") for start in (0, 1)):
        return " but UTF-16 text"
    return "" if b"\0" in raw else " (Windows-1252 or Latin-1, perhaps)"


def _names(line: str, separator: str) -> set[str]:
    return {cell.strip().strip("\"'").strip() for cell in line.split(separator)}


def _unknown_header_fault(line: str, columns: int, own: str) -> str:
    """For a header without any known column name: the most frequent separator is taken for the file's."""
    if own in line or columns == 1:
        return ""
    counts = {each: line.count(each) for each in SEPARATORS if each != " "}
    separator = max(counts, key=lambda each: counts[each])
    return _separator_fault(separator, 1, own) if counts[separator] else ""


def _separator_fault(separator: str, row: int, own: str) -> str:
    if separator == own:
        return ""
    fault = f"row {row}, the header: the fields are separated by {SEPARATORS[separator]}"
    declare = f"CsvFile(separator={separator!r})"
    if own != ",":
        return f"{fault}, and {declare.replace(repr(separator), repr(own))} is declared: set {declare}"
    return f"{fault}; save the file with commas, and numbers with a point, or set {declare}"
