"""Columns of a source -> typed columns, one rule for each Kind of raw column, whatever the source.

Text is read in the dialect of its file. A column that has a type already (Parquet, PostgreSQL) keeps its values where
that loses nothing.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime

import pyarrow as arrow
import pyarrow.compute as compute

from asof.extracts.schema import Kind
from asof.extracts.sources import PLAIN_CSV, CsvFile
from asof.features import entity_key

MAX_TEXT_LENGTH = entity_key.MAX_LENGTH
"""In characters: the same for every text as for an id."""
MAX_INTEGER = 10**18 - 1
ISO_DATE = "%Y-%m-%d"
ARROW_TYPES: Mapping[Kind, arrow.DataType] = {
    Kind.TEXT: arrow.string(),
    Kind.INTEGER: arrow.int64(),
    Kind.NUMBER: arrow.float64(),
    Kind.BOOLEAN: arrow.bool_(),
    Kind.DATE: arrow.date32(),
    Kind.UUID: arrow.string(),
}


def kind_rule(kind: Kind, dialect: CsvFile = PLAIN_CSV) -> str:
    """What a cell of the kind must be, as findings say it."""
    match kind:
        case Kind.TEXT:
            return f"must be text of at most {MAX_TEXT_LENGTH} characters, without blanks at its ends"
        case Kind.INTEGER:
            return "must be a whole number of at most 18 digits"
        case Kind.NUMBER:
            return f"must be a finite number, with a {'point' if dialect.decimal == '.' else repr(dialect.decimal)}"
        case Kind.BOOLEAN:
            known = (PLAIN_CSV.true, PLAIN_CSV.false) == (dialect.true, dialect.false)
            return f"must be {'True or False' if known else ' or '.join((*dialect.true, *dialect.false))}"
        case Kind.DATE:
            examples = (date(2024, 1, 31).strftime(each) for each in dialect.date_format)
            return f"must be a date as in {' or '.join(examples)}"
        case Kind.UUID:
            return f"must be {entity_key.RULES[Kind.UUID]}"


def parse_keys(values: arrow.ChunkedArray, kind: Kind) -> arrow.ChunkedArray:
    """The same for a column of the key: an integer has one spelling only, as in `asof.features.entity_key`."""
    if kind is not Kind.INTEGER:
        return parse_cells(values, kind)
    return values.cast(arrow.int64()) if arrow.types.is_integer(values.type) else _integer_key(values)


def parse_cells(values: arrow.ChunkedArray, kind: Kind, dialect: CsvFile = PLAIN_CSV) -> arrow.ChunkedArray:
    """n values of string, int64, float64, bool or date32; null where the value is null or not of the kind."""
    if arrow.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if is_text(values.type):
        return _PARSERS[kind](values.cast(arrow.string()), dialect)
    converted = _CONVERTERS[kind](values)
    if converted is not None:
        return converted
    return arrow.chunked_array([arrow.nulls(len(values), ARROW_TYPES[kind])])


def is_text(type_: arrow.DataType) -> bool:
    """Whether it is a type of texts."""
    return type_ in (arrow.string(), arrow.large_string(), arrow.string_view())


def as_text(values: arrow.ChunkedArray) -> arrow.ChunkedArray:
    """The values for a message or a comparison of ids; null where they are."""
    try:
        return values.cast(arrow.string())
    except arrow.ArrowNotImplementedError:
        texts = [None if each is None else str(each) for each in values.to_pylist()]
        return arrow.chunked_array([arrow.array(texts, arrow.string())])


def _text(text: arrow.ChunkedArray, _: CsvFile) -> arrow.ChunkedArray:
    trimmed = compute.equal(compute.utf8_trim_whitespace(text), text)
    return _null_unless(compute.and_(trimmed, compute.less_equal(compute.utf8_length(text), MAX_TEXT_LENGTH)), text)


def _integer(text: arrow.ChunkedArray, dialect: CsvFile) -> arrow.ChunkedArray:
    whole = _matching(_with_points(text, dialect), r"^-?0*\d{1,18}(\.0*)?$")
    return compute.replace_substring_regex(whole, r"\..*", "").cast(arrow.int64())


def _integer_key(text: arrow.ChunkedArray) -> arrow.ChunkedArray:
    whole = _matching(text, entity_key.INTEGER_KEY)
    digits = compute.utf8_ltrim(whole, "-")
    greatest = compute.if_else(compute.starts_with(whole, "-"), str(-entity_key.LEAST), str(entity_key.GREATEST))
    in_range = compute.or_(
        compute.less(compute.utf8_length(digits), len(str(-entity_key.LEAST))), compute.less_equal(digits, greatest)
    )
    return _null_unless(in_range, whole).cast(arrow.int64())


def _uuid(text: arrow.ChunkedArray, _: CsvFile) -> arrow.ChunkedArray:
    return compute.utf8_lower(_matching(text, entity_key.UUID_KEY))


def _number(text: arrow.ChunkedArray, dialect: CsvFile) -> arrow.ChunkedArray:
    plain = _with_points(text, dialect)
    return _finite(_matching(plain, r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$").cast(arrow.float64()))


def _boolean(text: arrow.ChunkedArray, dialect: CsvFile) -> arrow.ChunkedArray:
    lower = compute.utf8_lower(text)
    true, false = (compute.is_in(lower, arrow.array([each.lower() for each in words])) for words in _words(dialect))
    return _null_unless(compute.or_(true, false), true)


def _words(dialect: CsvFile) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return dialect.true, dialect.false


def _date(text: arrow.ChunkedArray, dialect: CsvFile) -> arrow.ChunkedArray:
    # Not Arrow's strptime, which turns 31 February into 3 March. Days repeat, so each distinct one is parsed once.
    coded = text.combine_chunks().dictionary_encode()
    days = [_day(day, dialect.date_format) for day in coded.dictionary.to_pylist()]
    return arrow.chunked_array([arrow.array(days, arrow.date32()).take(coded.indices)])


def _day(text: str, formats: tuple[str, ...]) -> date | None:
    for each in formats:
        try:
            if each != ISO_DATE:
                return datetime.strptime(text, each).date()  # noqa: DTZ007 - a day has no zone
            if len(text) == len("2024-01-31") and text[4] == text[7] == "-" and text.isascii():
                return date.fromisoformat(text)
        except ValueError:
            continue
    return None


def _with_points(text: arrow.ChunkedArray, dialect: CsvFile) -> arrow.ChunkedArray:
    """Numbers without thousands marks and with a decimal point; null where a point would be another mark."""
    thousands, decimal = (f"\\x{ord(mark):02x}" if mark else "" for mark in (dialect.thousands, dialect.decimal))
    if thousands:
        grouped = compute.match_substring_regex(text, rf"^-?\d{{1,3}}({thousands}\d{{3}})+({decimal}\d*)?$")
        text = compute.if_else(grouped, compute.replace_substring(text, dialect.thousands, ""), text)
    if dialect.decimal != ".":
        text = _null_unless(compute.invert(compute.match_substring(text, ".")), text)
        text = compute.replace_substring(text, dialect.decimal, ".")
    return text


def _texts(values: arrow.ChunkedArray) -> arrow.ChunkedArray | None:
    """Whole numbers, such as ids, as a file of texts would have them."""
    return values.cast(arrow.string()) if arrow.types.is_integer(values.type) else None


def _integers(values: arrow.ChunkedArray) -> arrow.ChunkedArray | None:
    if not _is_number(values.type):
        return None
    if arrow.types.is_unsigned_integer(values.type):
        values = values.cast(arrow.uint64())
        values = _null_unless(compute.less_equal(values, arrow.scalar(MAX_INTEGER, arrow.uint64())), values)
    elif not arrow.types.is_integer(values.type):
        rounded = compute.abs(values.cast(arrow.float64(), safe=False))
        whole = compute.and_(compute.less_equal(rounded, 1e18), compute.equal(compute.floor(values), values))
        values = _null_unless(whole, values)
    integers = values.cast(arrow.int64())
    return _null_unless(
        compute.and_(compute.greater_equal(integers, -MAX_INTEGER), compute.less_equal(integers, MAX_INTEGER)), integers
    )


def _numbers(values: arrow.ChunkedArray) -> arrow.ChunkedArray | None:
    return _finite(values.cast(arrow.float64(), safe=False)) if _is_number(values.type) else None


def _booleans(values: arrow.ChunkedArray) -> arrow.ChunkedArray | None:
    return values if arrow.types.is_boolean(values.type) else None


def _dates(values: arrow.ChunkedArray) -> arrow.ChunkedArray | None:
    """Dates, and timestamps without a zone at midnight."""
    if arrow.types.is_timestamp(values.type) and values.type.tz is None:
        days = values.cast(arrow.date32(), safe=False)
        return _null_unless(compute.equal(days.cast(values.type), values), days)
    return values.cast(arrow.date32()) if arrow.types.is_date(values.type) else None


def _is_number(type_: arrow.DataType) -> bool:
    return any(is_(type_) for is_ in (arrow.types.is_integer, arrow.types.is_floating, arrow.types.is_decimal))


def _finite(numbers: arrow.ChunkedArray) -> arrow.ChunkedArray:
    return _null_unless(compute.is_finite(numbers), numbers)


def _matching(text: arrow.ChunkedArray, pattern: str) -> arrow.ChunkedArray:
    return _null_unless(compute.match_substring_regex(text, pattern), text)


def _null_unless(valid: arrow.ChunkedArray, values: arrow.ChunkedArray) -> arrow.ChunkedArray:
    return compute.if_else(valid, values, None)


_PARSERS: Mapping[Kind, Callable[[arrow.ChunkedArray, CsvFile], arrow.ChunkedArray]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
    Kind.UUID: _uuid,
}
_CONVERTERS: Mapping[Kind, Callable[[arrow.ChunkedArray], arrow.ChunkedArray | None]] = {
    Kind.TEXT: _texts,
    Kind.INTEGER: _integers,
    Kind.NUMBER: _numbers,
    Kind.BOOLEAN: _booleans,
    Kind.DATE: _dates,
}
