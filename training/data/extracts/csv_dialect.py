"""The bytes of a file -> why it is not a comma-separated UTF-8 file with a header in row 1, as one sentence."""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Sequence

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
    return f"row {row}, byte {offset} of the file: not UTF-8 text{_likely_format(raw)}; save the file as UTF-8 CSV"


def header_fault(raw: bytes, columns: Sequence[str]) -> str:
    """What the first line is if it is not a comma-separated header, and what to do; else empty.

    Missing and unknown columns are not reported here.
    """
    lines = raw[:HEADER_SEARCH_BYTES].removeprefix(BOM_UTF8).decode(errors="ignore").splitlines()[:HEADER_SEARCH_LINES]
    scores = [max((len(_names(line, each) & set(columns)), each == ",", each) for each in SEPARATORS) for line in lines]
    header = next((line for line, (names, *_) in enumerate(scores) if names >= min(2, len(columns))), None)
    if header is None:
        return _unknown_header_fault(lines[0], len(columns)) if lines else ""
    above = f"row 1 is {lines[0][:60]!r}, and the header is in row {header + 1}: delete the rows above it"
    return "; ".join(filter(None, [above if header else "", _separator_fault(scores[header][2], header + 1)]))


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


def _unknown_header_fault(line: str, columns: int) -> str:
    """For a header without any known column name: the most frequent separator is taken for the file's."""
    if "," in line or columns == 1:
        return ""
    counts = {each: line.count(each) for each in SEPARATORS if each != " "}
    separator = max(counts, key=lambda each: counts[each])
    return _separator_fault(separator, 1) if counts[separator] else ""


def _separator_fault(separator: str, row: int) -> str:
    if separator == ",":
        return ""
    fault = f"row {row}, the header: the fields are separated by {SEPARATORS[separator]}"
    return f"{fault}; save the file with commas, and numbers with a point"
