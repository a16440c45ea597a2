"""The ids of entities: one definition for extracts, payloads and paths.

An id is text, an integer or a UUID. Text is compared by code points, as it is sent: nothing is trimmed, folded or
normalised. "José" with one code point for its last letter (NFC) and with two (NFD) are two ids. An integer has one
spelling, so that 007 is never taken for 7. A UUID may be written in any case, and is one id: its canonical form is in
lower case.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, NoReturn

from pydantic import BeforeValidator, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from asof.extracts.schema import Kind

KeyValue = str | int
"""A text, an integer, or a UUID in its canonical form."""

MAX_LENGTH = 500
"""Characters: percent-encoded, an id fits into a URL, and in PostgreSQL into an index."""
RULE = f"1 to {MAX_LENGTH} characters, no control character, no blank at its ends"
LEAST, GREATEST = -(2**63), 2**63 - 1
"""Of an integer: PostgreSQL's bigint and Feast's Int64."""
RULES: Mapping[Kind, str] = {
    Kind.TEXT: RULE,
    Kind.INTEGER: f"a whole number from {LEAST} to {GREATEST}, without a point, a plus or leading zeros",
    Kind.UUID: "a UUID as in 6f1c0a9e-8a54-4c3b-9a55-0d2f5e7b1c44, in upper or lower case",
}
"""What an id of each kind is."""
ASCII_KEY = rf"^[\x21-\x7e]{{1,{MAX_LENGTH}}}$"
"""Matches text ids only, and most of them: a quick check of millions."""
INTEGER_KEY = r"^(0|-?[1-9][0-9]{0,18})$"
"""Matches every integer id, and of others only some with 19 digits."""
UUID_KEY = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_INTEGER, _UUID = re.compile(INTEGER_KEY[1:-1]), re.compile(UUID_KEY[1:-1])
_INNER, _OUTER = r"[^\u0000-\u001f\u007f-\u009f]", r"[^\s\u0000-\u001f\u007f-\u009f]"
_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "pattern": f"^{_OUTER}({_INNER}*{_OUTER})?$"}
_INTEGER_SCHEMA = {"type": "integer", "format": "int64", "minimum": LEAST, "maximum": GREATEST}
_UUID_SCHEMA = {"type": "string", "format": "uuid"}


def parse(text: str, kind: Kind) -> KeyValue:
    """The id in a text, as in a path or a file. Raises ValueError with the rule that the text breaks."""
    if kind is Kind.INTEGER:
        return _in_range(int(text)) if _INTEGER.fullmatch(text) else _broken(kind)
    if kind is Kind.UUID:
        return text.lower() if _UUID.fullmatch(text) else _broken(kind)
    if rule := fault(text):
        raise ValueError(rule)
    return text


def fault(text: str) -> str | None:
    """The rule that keeps a text from being a text id; None where it is one."""
    if not text:
        return "an id must not be empty"
    if len(text) > MAX_LENGTH:
        return f"an id must have at most {MAX_LENGTH} characters, this one has {len(text)}"
    if match := _CONTROL.search(text):
        return f"an id must not contain control characters, this one has U+{ord(match[0]):04X}"
    if match := _SURROGATE.search(text):
        return f"an id must be Unicode text, this one has the lone surrogate U+{ord(match[0]):04X}"
    if text != text.strip():
        return "an id must not begin or end with a blank"
    return None


def next_step(*unknown: KeyValue) -> str:
    """What to do about an unknown id, or one of several keys."""
    texts = [each for each in unknown if isinstance(each, str)]
    several = [each for each in texts if unicodedata.normalize("NFC", each) != unicodedata.normalize("NFD", each)]
    if not several:
        return "check the id, or load it."
    text = several[0]
    form = next((each for each in ("NFC", "NFD") if unicodedata.is_normalized(each, text)), "neither NFC nor NFD")
    return f"check the id and its Unicode form ({form}), since ids are compared by code points; or load it."


def _in_range(number: int) -> int:
    return number if LEAST <= number <= GREATEST else _broken(Kind.INTEGER)


def _broken(kind: Kind) -> NoReturn:
    raise ValueError(f"an id here must be {RULES[kind]}")


def _checked(value: Any) -> Any:
    if isinstance(value, str) and (rule := fault(value)):
        raise PydanticCustomError("entity_key", rule)
    return value


def _checked_integer(value: Any) -> int:
    if type(value) is not int:
        rule = "an id here must be a whole number: a JSON number, without quotes or a point"
        raise PydanticCustomError("entity_key", rule)
    try:
        return _in_range(value)
    except ValueError as error:
        raise PydanticCustomError("entity_key", str(error)) from None


def _checked_uuid(value: Any) -> KeyValue:
    return _parsed(value if isinstance(value, str) else "", Kind.UUID)


def _integer_of_text(text: Any) -> KeyValue:
    return _parsed(text, Kind.INTEGER)


def _parsed(text: str, kind: Kind) -> KeyValue:
    try:
        return parse(text, kind)
    except ValueError as error:
        raise PydanticCustomError("entity_key", str(error)) from None


EntityKey = Annotated[str, Strict(), BeforeValidator(_checked), WithJsonSchema(_SCHEMA)]
"""The type of a text id in a payload; its errors are those of `fault`."""
IntegerKey = Annotated[int, Strict(), BeforeValidator(_checked_integer), WithJsonSchema(_INTEGER_SCHEMA)]
"""The type of an integer id in a payload: a JSON number. "7" in quotes is another type, and is refused."""
UuidKey = Annotated[str, Strict(), BeforeValidator(_checked_uuid), WithJsonSchema(_UUID_SCHEMA)]
"""The type of a UUID in a payload, in any case; its value is the canonical text."""
PAYLOADS: Mapping[Kind, Any] = {Kind.TEXT: EntityKey, Kind.INTEGER: IntegerKey, Kind.UUID: UuidKey}
"""The type of an id of each kind in a payload."""
_IntegerText = Annotated[int, Strict(), BeforeValidator(_integer_of_text), WithJsonSchema(_INTEGER_SCHEMA)]
FROM_TEXT: Mapping[Kind, Any] = {Kind.TEXT: EntityKey, Kind.INTEGER: _IntegerText, Kind.UUID: UuidKey}
"""The type of an id of each kind in a path or query, which are text."""
