"""The text of a view's definition: what counts as another one, what does not, and how the difference is shown."""

import json
from typing import Any

import pytest

from asof.features.feast.messages import feast_messages
from asof.features.feature_contract import Feature, FeatureContract
from asof.features.feature_definition import changed_lines, definition_of, digest_of

QUERY = """
SELECT user_id, as_of, monthly_fee,
       CASE WHEN net_service = 'No  net' THEN 'no' END AS net_service
FROM subscriptions
"""


def spec(query: str = QUERY, **changed: Any) -> Any:
    """Feast's message of a view, with other parts than usual."""
    view = feast_messages().feature_view().spec
    view.name = "subs_fv"
    view.entity_columns.add(name=changed.get("key", "user_id"), value_type=changed.get("key_type", 2))
    view.tags.update(changed.get("tags", {}))
    view.ttl.FromSeconds(changed.get("ttl", 60))
    source = view.batch_source
    source.name = changed.get("name", "subscriptions")
    source.timestamp_field = changed.get("time", "as_of")
    source.created_timestamp_column = changed.get("created", "created_at")
    source.field_mapping.update(changed.get("columns", {}))
    options = {"name": source.name, "query": query, "table": changed.get("table", "")}
    source.custom_options.configuration = json.dumps(options).encode()
    return view


def digest(query: str = QUERY, **changed: Any) -> str:
    return digest_of(definition_of(spec(query, **changed)))


@pytest.mark.parametrize(
    "changed",
    [
        {"query": QUERY.replace("monthly_fee,", "monthly_fee * 3 AS monthly_fee,")},
        {"query": QUERY.replace("No  net", "No net")},
        {"query": QUERY.replace("FROM subscriptions", "FROM Subscriptions")},
        {"query": f"{QUERY} -- all of them"},
        {"query": QUERY + "WHERE 1 = 1"},
        {"table": "subscriptions"},
        {"time": "created_at"},
        {"created": ""},
        {"columns": {"fee": "monthly_fee"}},
        {"key": "customer_id"},
        {"key_type": 4},
        {"tags": {"unit": "EUR"}},
    ],
)
def test_a_change_that_affects_a_value_changes_the_definition(changed: dict[str, Any]) -> None:
    assert digest(**changed) != digest()


@pytest.mark.parametrize(
    "changed",
    [
        {"query": QUERY.replace(" ", "   ").replace("No      net", "No  net")},
        {"query": " ".join(QUERY.split()).replace("No net", "No  net")},
        {"name": "another_name"},
        {"ttl": 120},
        {"tags": {"staleness": "flag"}},
    ],
)
def test_layout_names_and_policies_make_no_other_definition(changed: dict[str, Any]) -> None:
    assert digest(**changed) == digest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT 'it''s  a' AS x", "SELECT 'it''s a' AS x"),
        ("SELECT $$a  b$$ AS x", "SELECT $$a b$$ AS x"),
        ("SELECT $q$a  'b$q$, 1", "SELECT $q$a 'b$q$, 1"),
        ('SELECT "a  b" FROM t', 'SELECT "a b" FROM t'),
        (r"SELECT E'\'  b'", r"SELECT E'\' b'"),
        ("SELECT a -- it's\n, 'b  c'", "SELECT a -- it's\n, 'b c'"),
        ("SELECT a -- b\n, c FROM t", "SELECT a -- b , c FROM t"),
        ("SELECT a /* it's */, 'b  c'", "SELECT a /* it's */, 'b c'"),
    ],
)
def test_no_blank_that_means_something_is_overlooked(one: str, other: str) -> None:
    assert digest(one) != digest(other)


def test_the_changed_lines_are_shown_and_no_more_than_a_few() -> None:
    before = definition_of(spec())
    now = definition_of(spec(QUERY.replace("monthly_fee,", "monthly_fee * 3 AS monthly_fee,")))
    assert changed_lines(before, now) == "- monthly_fee | + monthly_fee * 3 AS monthly_fee"
    many = definition_of(spec("SELECT " + ", ".join(f"column_{number} AS {'x' * 500}" for number in range(500))))
    assert len(changed_lines(before, many)) < 1500
    assert "more" in changed_lines(before, many)


def test_only_the_views_of_the_model_are_compared() -> None:
    text, other = definition_of(spec()), definition_of(spec("SELECT 1"))
    trained = FeatureContract("s", "user_id", (Feature("fee", "subs_fv", "Float64"),), {"subs_fv": text})
    assert trained.redefined({"subs_fv": text, "other_fv": other}) == {}
    assert list(trained.redefined({"subs_fv": other})) == ["subs_fv"]
    pair = frozenset({digest_of(text), digest_of(other)})
    assert trained.redefined({"subs_fv": other}, {pair}) == {}


def test_a_source_of_another_kind_has_a_definition_too() -> None:
    view = spec()
    view.batch_source.ClearField("custom_options")
    view.batch_source.file_options.uri = "a.parquet"
    first = definition_of(view)
    view.batch_source.file_options.uri = "b.parquet"
    assert digest_of(first) != digest_of(definition_of(view))
