"""What the id of an entity may be: one definition for extracts, requests and addresses.

Ids are compared code point by code point, as they are sent: nothing is trimmed, folded or normalised. "José" with one
code point for its last letter (NFC) and with two (NFD) are two ids.
"""

import re
import unicodedata
from typing import Annotated, Any

from pydantic import BeforeValidator, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

LONGEST = 500
"""Characters: percent-encoded, an id fits into an address, and in PostgreSQL into an index."""
RULE = f"1 to {LONGEST} characters, no control character, no blank at its ends"
PLAIN = rf"^[\x21-\x7e]{{1,{LONGEST}}}$"
"""What most ids match, and only ids: a quick check of millions."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_INNER, _OUTER = r"[^\u0000-\u001f\u007f-\u009f]", r"[^\s\u0000-\u001f\u007f-\u009f]"
_SCHEMA = {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": f"^{_OUTER}({_INNER}*{_OUTER})?$"}


def fault(text: str) -> str | None:
    """The rule that a text breaks as an id; None: it is one."""
    if not text:
        return "an id must not be empty"
    if len(text) > LONGEST:
        return f"an id must have at most {LONGEST} characters, this one has {len(text)}"
    if found := _CONTROL.search(text):
        return f"an id must not contain control characters, this one has U+{ord(found[0]):04X}"
    if found := _SURROGATE.search(text):
        return f"an id must be Unicode text, this one has the lone surrogate U+{ord(found[0]):04X}"
    if text != text.strip():
        return "an id must not begin or end with a blank"
    return None


def next_step(unknown: str) -> str:
    """What to do about an id that is not known."""
    if unicodedata.normalize("NFC", unknown) == unicodedata.normalize("NFD", unknown):
        return "check the id, or load it."
    form = next((each for each in ("NFC", "NFD") if unicodedata.is_normalized(each, unknown)), "neither NFC nor NFD")
    return f"check the id and its Unicode form ({form}), since ids are compared by code points; or load it."


def _checked(value: Any) -> Any:
    wrong = fault(value) if isinstance(value, str) else None
    if wrong:
        raise PydanticCustomError("entity_key", wrong)
    return value


EntityKey = Annotated[str, Strict(), BeforeValidator(_checked), WithJsonSchema(_SCHEMA)]
"""The type of an id in a payload. Its errors are the sentences of `fault`."""
