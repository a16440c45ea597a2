"""What a file is instead of UTF-8 text with a header in its first line and commas: one sentence, or none."""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Sequence

BEGINNINGS = {
    BOM_UTF32_LE: "UTF-32 text",  # before UTF-16, whose mark it begins with
    BOM_UTF32_BE: "UTF-32 text",
    BOM_UTF16_LE: "UTF-16 text",
    BOM_UTF16_BE: "UTF-16 text",
    b"\x1f\x8b": "a gzip archive",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"PAR1": "a Parquet file",
}
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
HEAD, LINES = 2**16, 20
"""Bytes and lines in which the header is looked for."""


def encoding_fault(raw: bytes) -> str:
    """Where the bytes are no UTF-8 text, what they are and what to do; empty where they are."""
    try:
        raw.decode()
        offset = raw.find(b"\0")
    except UnicodeDecodeError as error:
        offset = error.start
    if offset < 0:
        return ""
    row = raw.count(b"\n", 0, offset) + 1
    return f"row {row}, byte {offset} of the file: not UTF-8 text{_instead(raw)}; save the file as UTF-8 CSV"


def header_fault(raw: bytes, columns: Sequence[str]) -> str:
    """Where the first line does not hold the columns between commas, what it holds and what to do; else empty.

    Which columns are missing or unknown is not said here.
    """
    lines = raw[:HEAD].removeprefix(BOM_UTF8).decode(errors="ignore").splitlines()[:LINES]
    scores = [max((len(_names(line, each) & set(columns)), each == ",", each) for each in SEPARATORS) for line in lines]
    found = next((row for row, (names, *_) in enumerate(scores) if names >= min(2, len(columns))), None)
    if found is None:
        return _separators_of(lines[0], len(columns)) if lines else ""
    above = f"row 1 is {lines[0][:60]!r}, and the header is in row {found + 1}: delete the rows above it"
    return "; ".join(filter(None, [above if found else "", _separated(scores[found][2], found + 1)]))


def _instead(raw: bytes) -> str:
    """What the bytes may be: told by their beginning, or by zeros at every other place."""
    for mark, what in BEGINNINGS.items():
        if raw.startswith(mark):
            return f" but {what}"
    if any(raw[start:200:2] and not raw[start:200:2].strip(b"\0") for start in (0, 1)):
        return " but UTF-16 text"
    return "" if b"\0" in raw else " (Windows-1252 or Latin-1, perhaps)"


def _names(line: str, separator: str) -> set[str]:
    return {cell.strip().strip("\"'").strip() for cell in line.split(separator)}


def _separators_of(line: str, columns: int) -> str:
    """For a header of which no column is known."""
    if "," in line or columns == 1:
        return ""
    counts = {each: line.count(each) for each in SEPARATORS if each != " "}
    most = max(counts, key=lambda each: counts[each])
    return _separated(most, 1) if counts[most] else ""


def _separated(separator: str, row: int) -> str:
    if separator == ",":
        return ""
    return (
        f"row {row}, the header: the fields are separated by {SEPARATORS[separator]}; save the file with commas, and "
        "numbers with a point"
    )
