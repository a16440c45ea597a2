"""One definition of an id: the same for extracts, for payloads and for what the description says of both."""

import re
from typing import Any

import pyarrow as arrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from asof.extracts.schema import Column, Kind, RawTable
from asof.features import entity_key
from asof.features.entity_key import FROM_TEXT, PAYLOADS, EntityKey, fault, next_step, parse
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


UUID = "6f1c0a9e-8a54-4c3b-9a55-0d2f5e7b1c44"
SPELLINGS: dict[Kind, dict[str, Any]] = {
    Kind.INTEGER: {str(number): number for number in (0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63), 10**18, -(10**18))},
    Kind.UUID: {UUID: UUID, UUID.upper(): UUID, UUID.replace("a", "A"): UUID, "0" * 8 + UUID[8:]: "0" * 8 + UUID[8:]},
}
MISSPELT = {
    Kind.INTEGER: [
        *("", "-", "+1", "007", "-0", "-007", "1.0", "1e3", " 1", "1 ", "1_0", "\u0663", "x"),
        *(str(2**63), str(-(2**63) - 1), "9" * 19, "1" * 20, "9" * 5000),
    ],
    Kind.UUID: ["", UUID[:-1], UUID + "0", f"{{{UUID}}}", f"urn:uuid:{UUID}", UUID.replace("-", ""), "g" + UUID[1:]],
}
OTHERS: dict[Kind, list[Any]] = {
    Kind.INTEGER: ["7", 7.0, 7.5, True, None, [7], 2**63, -(2**63) - 1, 10**30],
    Kind.UUID: [7, True, None, [UUID], UUID.encode(), MISSPELT[Kind.UUID][3]],
}


def taken(kind: Kind, texts: list[str]) -> list[Any]:
    """What an extract's file with each of these keys alone gives; None for a key that is refused."""
    table = RawTable("users", (Column("user_id", kind),))
    cells = (arrow.table({"user_id": arrow.array([text or None], arrow.string())}) for text in texts)
    checked = [check_table(each, table, None) for each in cells]
    return [None if each.findings else each.values["user_id"][0].as_py() for each in checked]


@pytest.mark.parametrize("kind", SPELLINGS)
def test_an_id_is_the_same_in_extracts_paths_and_payloads(kind: Kind) -> None:
    spelt, values = list(SPELLINGS[kind]), list(SPELLINGS[kind].values())
    assert taken(kind, spelt) == values
    assert [parse(text, kind) for text in spelt] == values
    assert [TypeAdapter(FROM_TEXT[kind]).validate_python(text) for text in spelt] == values
    payload = TypeAdapter(PAYLOADS[kind])
    asked = values if kind is Kind.INTEGER else spelt
    assert [payload.validate_python(each) for each in asked] == values


@pytest.mark.parametrize("kind", MISSPELT)
def test_another_spelling_is_refused_in_extracts_and_paths_by_the_same_rule(kind: Kind) -> None:
    assert taken(kind, MISSPELT[kind]) == [None] * len(MISSPELT[kind])
    table = RawTable("users", (Column("user_id", kind),))
    refused = check_table(arrow.table({"user_id": MISSPELT[kind][1:]}), table, None).findings
    assert any(f"must be an id: {entity_key.RULES[kind]}" in finding for finding in refused)
    for text in MISSPELT[kind]:
        with pytest.raises(ValidationError, match=re.escape(f"an id here must be {entity_key.RULES[kind]}")):
            TypeAdapter(FROM_TEXT[kind]).validate_python(text)


@pytest.mark.parametrize(("kind", "other"), [(kind, other) for kind, each in OTHERS.items() for other in each])
def test_a_payload_of_another_type_is_refused_with_a_sentence(kind: Kind, other: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(PAYLOADS[kind]).validate_python(other)
    (error,) = refused.value.errors()
    assert error["msg"].startswith("an id here must be a ")


@given(st.integers() | st.integers(-(2**64), 2**64))
def test_exactly_the_integers_of_64_bits_are_ids_in_every_door(number: int) -> None:
    held = -(2**63) <= number < 2**63
    assert taken(Kind.INTEGER, [str(number)]) == [number if held else None]
    for kind, value in ((PAYLOADS, number), (FROM_TEXT, str(number))):
        adapter: TypeAdapter[Any] = TypeAdapter(kind[Kind.INTEGER])
        if held:
            assert adapter.validate_python(value) == number
        else:
            with pytest.raises(ValidationError):
                adapter.validate_python(value)
