"""The ids of entities: one definition for extracts, payloads and paths.

Ids are compared by code points, as they are sent: nothing is trimmed, folded or normalised. "José" with one code point
for its last letter (NFC) and with two (NFD) are two ids.
"""

import re
import unicodedata
from typing import Annotated, Any

from pydantic import BeforeValidator, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_LENGTH = 500
"""Characters: percent-encoded, an id fits into a URL, and in PostgreSQL into an index."""
RULE = f"1 to {MAX_LENGTH} characters, no control character, no blank at its ends"
ASCII_KEY = rf"^[\x21-\x7e]{{1,{MAX_LENGTH}}}$"
"""Matches ids only, and most of them: a quick check of millions."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_INNER, _OUTER = r"[^\u0000-\u001f\u007f-\u009f]", r"[^\s\u0000-\u001f\u007f-\u009f]"
_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "pattern": f"^{_OUTER}({_INNER}*{_OUTER})?$"}


def fault(text: str) -> str | None:
    """The rule that keeps a text from being an id; None where it is one."""
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


def next_step(unknown: str) -> str:
    """What to do about an unknown id."""
    if unicodedata.normalize("NFC", unknown) == unicodedata.normalize("NFD", unknown):
        return "check the id, or load it."
    form = next((each for each in ("NFC", "NFD") if unicodedata.is_normalized(each, unknown)), "neither NFC nor NFD")
    return f"check the id and its Unicode form ({form}), since ids are compared by code points; or load it."


def _checked(value: Any) -> Any:
    if isinstance(value, str) and (rule := fault(value)):
        raise PydanticCustomError("entity_key", rule)
    return value


EntityKey = Annotated[str, Strict(), BeforeValidator(_checked), WithJsonSchema(_SCHEMA)]
"""The type of an id in a payload; its errors are those of `fault`."""
