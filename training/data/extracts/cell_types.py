"""Text columns of a CSV file -> typed columns, one parser for each Kind of raw column."""

from collections.abc import Callable, Mapping
from datetime import date

import pyarrow as arrow
import pyarrow.compute as compute

from asof.extract_schema import Kind
from asof.features import entity_key

MAX_TEXT_LENGTH = entity_key.MAX_LENGTH
"""In characters: the same for every text as for an id."""

KIND_RULES: Mapping[Kind, str] = {
    Kind.TEXT: f"must be text of at most {MAX_TEXT_LENGTH} characters, without blanks at its ends",
    Kind.INTEGER: "must be a whole number of at most 18 digits",
    Kind.NUMBER: "must be a finite number, with a point",
    Kind.BOOLEAN: "must be True or False",
    Kind.DATE: "must be a date as in 2024-01-31",
    Kind.UUID: f"must be {entity_key.RULES[Kind.UUID]}",
}
"""What a cell of each kind must be, as findings say it."""


def parse_cells(text: arrow.ChunkedArray, kind: Kind) -> arrow.ChunkedArray:
    """n values of string, int64, float64, bool or date32; null where the text is null or not of the kind."""
    return _PARSERS[kind](text)


def parse_keys(text: arrow.ChunkedArray, kind: Kind) -> arrow.ChunkedArray:
    """The same for a column of the key: an integer has one spelling only, as in `asof.features.entity_key`."""
    return _integer_key(text) if kind is Kind.INTEGER else parse_cells(text, kind)


def _text(text: arrow.ChunkedArray) -> arrow.ChunkedArray:
    trimmed = compute.equal(compute.utf8_trim_whitespace(text), text)
    return _null_unless(compute.and_(trimmed, compute.less_equal(compute.utf8_length(text), MAX_TEXT_LENGTH)), text)


def _integer(text: arrow.ChunkedArray) -> arrow.ChunkedArray:
    whole = _matching(text, r"^-?0*\d{1,18}(\.0*)?$")
    return compute.replace_substring_regex(whole, r"\..*", "").cast(arrow.int64())


def _integer_key(text: arrow.ChunkedArray) -> arrow.ChunkedArray:
    whole = _matching(text, entity_key.INTEGER_KEY)
    digits = compute.utf8_ltrim(whole, "-")
    greatest = compute.if_else(compute.starts_with(whole, "-"), str(-entity_key.LEAST), str(entity_key.GREATEST))
    in_range = compute.or_(
        compute.less(compute.utf8_length(digits), len(str(-entity_key.LEAST))), compute.less_equal(digits, greatest)
    )
    return _null_unless(in_range, whole).cast(arrow.int64())


def _uuid(text: arrow.ChunkedArray) -> arrow.ChunkedArray:
    return compute.utf8_lower(_matching(text, entity_key.UUID_KEY))


def _number(text: arrow.ChunkedArray) -> arrow.ChunkedArray:
    numbers = _matching(text, r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$").cast(arrow.float64())
    return _null_unless(compute.is_finite(numbers), numbers)


def _boolean(text: arrow.ChunkedArray) -> arrow.ChunkedArray:
    return compute.equal(compute.utf8_lower(_matching(text, "^([Tt]rue|[Ff]alse)$")), "true")


def _date(text: arrow.ChunkedArray) -> arrow.ChunkedArray:
    # Not Arrow's strptime, which turns 31 February into 3 March. Days repeat, so each distinct one is parsed once.
    coded = _matching(text, r"^\d{4}-\d\d-\d\d$").combine_chunks().dictionary_encode()
    days = arrow.array([_day(day) for day in coded.dictionary.to_pylist()], arrow.date32())
    return arrow.chunked_array([days.take(coded.indices)])


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _matching(text: arrow.ChunkedArray, pattern: str) -> arrow.ChunkedArray:
    return _null_unless(compute.match_substring_regex(text, pattern), text)


def _null_unless(valid: arrow.ChunkedArray, values: arrow.ChunkedArray) -> arrow.ChunkedArray:
    return compute.if_else(valid, values, None)


_PARSERS: Mapping[Kind, Callable[[arrow.ChunkedArray], arrow.ChunkedArray]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
    Kind.UUID: _uuid,
}
