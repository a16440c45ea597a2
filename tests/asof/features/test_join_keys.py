"""An entity of one key or several is the same in Python, in JSON, as text and in a model's contract."""

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import create_model

from asof.errors import ConfigurationError
from asof.extracts.schema import Column, ExtractSchema, Kind, RawTable
from asof.features.entity_key import EntityKey, IntegerKey
from asof.features.feature_contract import Feature, FeatureContract
from asof.features.join_keys import JoinKey, JoinKeys, hashable_text, keys_of_extract, keys_of_views

ONE = JoinKeys((JoinKey("user_id"),))
NUMBER = JoinKeys((JoinKey("account", Kind.INTEGER),))
PAIR = JoinKeys(
    (JoinKey("merchant_id", Kind.INTEGER, ("merchants", "pairs")), JoinKey("user_id", Kind.TEXT, ("pairs",)))
)
ENTITIES: list[tuple[JoinKeys, Any, Any, str, str]] = [
    (ONE, "7590-VHVEG", "7590-VHVEG", "7590-VHVEG", "'7590-VHVEG'"),
    (ONE, '{"a": 1}', '{"a": 1}', '{"a": 1}', "'{\"a\": 1}'"),
    (NUMBER, -(2**63), -(2**63), str(-(2**63)), str(-(2**63))),
    (
        PAIR,
        (7, "é"),
        {"merchant_id": 7, "user_id": "é"},
        '{"merchant_id": 7, "user_id": "é"}',
        "merchant_id 7, user_id 'é'",
    ),
]


@pytest.mark.parametrize(("keys", "entity", "members", "text", "words"), ENTITIES)
def test_an_entity_has_one_form_of_each_sort_and_comes_back_from_it(
    keys: JoinKeys, entity: Any, members: Any, text: str, words: str
) -> None:
    assert keys.members(entity) == members
    assert keys.from_members(members) == entity
    assert keys.from_members(json.loads(json.dumps(members))) == entity
    assert (keys.text(entity), keys.parse(text)) == (text, entity)
    assert keys.describe(entity) == words
    assert keys.entity(keys.values(entity)) == entity
    assert {name: list(each) for name, each in keys.columns([entity, entity]).items()} == {
        name: [value, value] for name, value in zip(keys.names, keys.values(entity), strict=True)
    }


def test_the_entity_of_a_request_has_its_keys_by_name_whatever_the_order_of_the_members() -> None:
    request = create_model("Request", user_id=(EntityKey, ...), other=(int, 1), merchant_id=(IntegerKey, ...))
    assert PAIR.of(request(merchant_id=7, user_id="u")) == (7, "u")


def test_entities_have_different_texts_to_be_hashed_and_a_text_key_has_its_own() -> None:
    assert hashable_text("7590-VHVEG") == "7590-VHVEG"
    pairs = [(1, "11"), (11, "1"), (1, "1,1"), (1, "1")]
    assert len({hashable_text(pair) for pair in pairs}) == len(pairs)


FEATURES = (Feature("x", "pairs", "Float64"),)
OLD = {"feature_service": "s", "entity": "user_id", "features": [{"name": "x", "view": "pairs", "dtype": "Float64"}]}


def test_a_contract_of_one_text_key_is_what_it_was_before_there_were_others() -> None:
    contract = FeatureContract.from_dict(OLD)
    assert (
        contract == FeatureContract("s", (JoinKey("user_id"),), FEATURES) == FeatureContract("s", "user_id", FEATURES)
    )
    assert json.loads(json.dumps(contract.to_dict())) == {**OLD, "definitions": {}}
    assert contract.keys == ONE


@pytest.mark.parametrize("keys", [NUMBER, PAIR])
def test_a_contract_of_other_keys_is_stored_and_read(keys: JoinKeys) -> None:
    contract = FeatureContract("s", keys.keys, FEATURES)
    again = FeatureContract.from_dict(json.loads(json.dumps(contract.to_dict())))
    assert (again, again.digest, again.keys) == (contract, contract.digest, keys)
    assert "the entity is user_id (text), not " in contract.difference(FeatureContract.from_dict(OLD))


def test_the_keys_of_views_are_sorted_and_know_the_views_that_not_all_have_in_common() -> None:
    views = {"users": {"user_id": "UUID"}, "pairs": {"user_id": "UUID", "at": "INT64"}, "more": {"user_id": "UUID"}}
    assert keys_of_views(views) == (JoinKey("at", Kind.INTEGER, ("pairs",)), JoinKey("user_id", Kind.UUID))


@pytest.mark.parametrize(
    ("views", "words"),
    [
        ({"a": {"k": "BYTES"}}, "Join key k is BYTES in Feast"),
        ({"a": {"k": "INT32"}}, "Join key k is INT32 in Feast"),
        ({"a": {"k": "INT64"}, "b": {"k": "STRING"}}, "Join key k is INT64 and STRING in Feast"),
        ({"a": {"k": "UNKNOWN"}}, "declare its entity as STRING, INT64 or UUID"),
    ],
)
def test_a_join_key_that_no_entity_can_have_is_named(views: dict[str, dict[str, str]], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        keys_of_views(views)


def table(name: str, **kinds: Kind) -> RawTable:
    return RawTable(name, tuple(Column(key, kind) for key, kind in kinds.items()))


def schema(entity: Any, *tables: RawTable, labels: RawTable | None = None) -> ExtractSchema:
    marked = labels or table("labels", user_id=Kind.TEXT, merchant_id=Kind.INTEGER, label=Kind.BOOLEAN)
    return ExtractSchema(entity, tables[0].name, tables, marked, "label")


USERS = table("users", country=Kind.TEXT, user_id=Kind.TEXT)
PAIRS = table("pairs", user_id=Kind.TEXT, spent=Kind.NUMBER, merchant_id=Kind.INTEGER)


def test_a_table_is_keyed_by_those_of_the_extracts_keys_that_it_has() -> None:
    extract = schema(("user_id", "merchant_id"), PAIRS, USERS)
    assert extract.keys == ("merchant_id", "user_id")
    assert [[key.name for key in each.key_columns] for each in extract.tables] == [
        ["merchant_id", "user_id"],
        ["user_id"],
    ]
    assert [[key.name for key in each.value_columns] for each in extract.tables] == [["spent"], ["country"]]
    assert str(keys_of_extract(extract)) == "merchant_id (integer), user_id (text)"
    assert USERS.key_columns == USERS.columns[:1]


def test_a_table_may_have_a_key_as_a_column_without_being_keyed_by_it() -> None:
    favourites = replace(PAIRS, name="favourites", keys=("user_id",))
    table = schema(("user_id", "merchant_id"), PAIRS, favourites).tables[1]
    assert [key.name for key in table.key_columns] == ["user_id"]
    assert [each.name for each in table.value_columns] == ["spent", "merchant_id"]
    with pytest.raises(ConfigurationError, match="'users' has no column user, which `keys` names"):
        replace(USERS, keys=("user",))


@pytest.mark.parametrize(
    ("entity", "tables", "words"),
    [
        (
            "user_id",
            [table("pairs", x=Kind.NUMBER)],
            "'pairs' is keyed by x: give it the keys of its extract .user_id.",
        ),
        (
            ("merchant_id", "user_id"),
            [USERS],
            "'users' is keyed by user_id: give it the keys of .* .merchant_id, user_id.",
        ),
        (
            ("merchant_id", "user_id"),
            [PAIRS, table("more", x=Kind.NUMBER)],
            "'more' is keyed by x: give it some of the",
        ),
        ("user_id", [table("users", user_id=Kind.DATE)], "'users': the key user_id must be text, integer or uuid"),
        ("user_id", [table("users", user_id=Kind.UUID)], "'users': the key user_id is uuid, and text in 'labels'"),
        ("user_id", [RawTable("users", (Column("user_id", Kind.TEXT, nullable=True),))], "and never null"),
    ],
)
def test_a_table_with_other_keys_is_refused(entity: Any, tables: list[RawTable], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        schema(entity, *tables)
