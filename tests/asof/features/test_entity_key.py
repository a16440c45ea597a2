"""One definition of an id: the same for extracts, for payloads and for what the description says of both."""

import re
from typing import Any

import pyarrow as arrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from asof.extract_schema import Column, Kind, RawTable
from asof.features import entity_key
from asof.features.entity_key import EntityKey, fault, next_step
from training.data.extracts.validation import check_table

KEYS = ["CUST 0001", "José-1", "Jose\u0301-1", "Doe, J", "EU/7590", "7" * 65, "é" * 500, ".", "..", "a/../b", "%2F"]
KEYS += [
    '"',
    "'",
    "\\",
    "שלום-1",
    "\u202eabc",
    "👩‍👩‍👧",
    "[red]x",
    "{x}",
    "a\u2028b",
    "x?y#z&a=b;c",
    "+",
    "null",
    "\ufffd",
]
NONE = {
    "": "empty",
    "x" * 501: "at most 500",
    "a\0b": "U+0000",
    "a\tb": "U+0009",
    "a\r\nX: y": "U+000D",
    "\x7f": "U+007F",
    "a\u0085b": "U+0085",
    "a\ud800": "U+D800",
    " a": "end with a blank",
    "a\u00a0": "end with a blank",
    "\u2003": "end with a blank",
}
PAYLOAD: TypeAdapter[Any] = TypeAdapter(EntityKey)
TABLE = RawTable("users", (Column("user_id", Kind.TEXT),))


def findings(*keys: str) -> str:
    return "\n".join(check_table(arrow.table({"user_id": list(keys)}), TABLE, None).findings)


@pytest.mark.parametrize("key", KEYS)
def test_an_id_is_one_in_every_door(key: str) -> None:
    assert PAYLOAD.validate_python(key) == key
    assert findings(key) == ""
    assert re.search(PAYLOAD.json_schema()["pattern"], key)


@pytest.mark.parametrize(("text", "why"), NONE.items(), ids=ascii)
def test_what_is_no_id_is_refused_with_a_sentence(text: str, why: str) -> None:
    with pytest.raises(ValidationError) as refused:
        PAYLOAD.validate_python(text)
    (error,) = refused.value.errors()
    assert why in error["msg"]
    assert error["msg"].startswith("an id ")


@pytest.mark.parametrize("text", [text for text in NONE if text and "\ud800" not in text])
def test_what_is_no_id_is_not_loaded(text: str) -> None:
    assert f"must be an id: {entity_key.RULE}" in findings("good", text)


@pytest.mark.parametrize("other", [1, None, True, ["a"], b"a"])
def test_only_text_is_an_id(other: Any) -> None:
    with pytest.raises(ValidationError, match="valid string"):
        PAYLOAD.validate_python(other)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
def test_extracts_and_payloads_agree_on_every_text(text: str) -> None:
    taken = fault(text) is None
    assert (findings(text) == "") is taken
    assert bool(re.fullmatch(entity_key.ASCII_KEY, text)) <= taken  # RE2, which reads it, has no `$` before a line end


@pytest.mark.parametrize(
    ("key", "form"), [("José", "(NFC)"), ("Jose\u0301", "(NFD)"), ("é e\u0301", "(neither"), ("José 👍", "(NFC)")]
)
def test_an_unknown_id_that_exists_in_another_unicode_form_is_explained(key: str, form: str) -> None:
    assert form in next_step(key)


@pytest.mark.parametrize("key", ["abc", "日本", "👍", "ß"])
def test_an_unknown_id_of_one_form_does_not(key: str) -> None:
    assert next_step(key) == "check the id, or load it."
