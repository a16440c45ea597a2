"""The queries and Feast sources of docs/monitoring/ledger.md, run against a ledger whose content is known."""

import re
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest
from feast import Entity, FeatureView, Field, ValueType
from feast.types import Float64

from asof.features.feature_contract import Feature
from asof.features.feature_store import feature_store, quiet
from asof.inference.verdicts import Verdict
from asof.ledger.answers import Answer, ReadValues
from asof.ledger.reading.find import Selection, reading_ledger
from asof.ledger.reading.kept_answer import KeptAnswer
from asof.settings import PROJECT, Settings, export
from tests.kits.service.ledger import FEBRUARY, encoder, keep, rows

PAGE = (PROJECT / "docs" / "monitoring" / "ledger.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
(PYTHON,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
FEATURES = (Feature("monthly_fee", "money_fv", "Float64"), Feature("plan", "plan_fv", "String"))
MOMENTS = {"as_of": {"money_fv": FEBRUARY, "plan_fv": FEBRUARY}}


@pytest.fixture(scope="module")
def answers(settings: Settings) -> list[KeptAnswer]:
    """u1 was answered twice by version 1 and once by version 2, u2 once; u3 was refused. Oldest first."""
    first, second = (encoder(version, FEATURES) for version in "12")
    for model, user, fee, score in (
        (first, "u1", 10.0, 0.25),
        (first, "u2", 30.0, 0.75),
        (first, "u1", 12.0, 0.35),
        (second, "u1", 50.0, 0.85),
    ):
        read = ReadValues({"monthly_fee": fee, "plan": "one"}, MOMENTS)
        keep(settings, model, f"{user}-{score}", Answer(user, prediction=score, decision=int(score >= 0.5)), read)
    refused = ReadValues({"monthly_fee": None, "plan": "one"}, MOMENTS, {"monthly_fee": Verdict.NULL})
    keep(settings, second, "refused", Answer("u3", 422, "missing-features"), refused)
    with reading_ledger(settings, "churn") as ledger:
        return ledger.find(Selection(), 10)[::-1]


def run(settings: Settings, words: str) -> list[tuple[Any, ...]]:
    """The rows of the one query with these words."""
    (query,) = (each for each in QUERIES if words in each)
    return rows(settings, query)


def test_each_query_is_tried() -> None:
    assert len(QUERIES) == 5


def test_answers_of_each_version(settings: Settings, answers: list[KeptAnswer]) -> None:
    assert [row[1:] for row in run(settings, "mean_score")] == [
        ("1", 3, 0, pytest.approx(0.45)), ("2", 2, 1, pytest.approx(0.85))
    ]  # fmt: skip


def test_refusals(settings: Settings, answers: list[KeptAnswer]) -> None:
    assert run(settings, "AS refusals") == [("missing-features", 422, None, 1, answers[-1].at)]


def test_missing_features(settings: Settings, answers: list[KeptAnswer]) -> None:
    assert run(settings, "AS stale") == [("monthly_fee", "money_fv", 1, 0, 0, 5), ("plan", "plan_fv", 0, 0, 0, 5)]


def test_values_by_class(settings: Settings, answers: list[KeptAnswer]) -> None:
    assert run(settings, "AS mean\n") == [("monthly_fee", "no", 2, 11.0), ("monthly_fee", "yes", 2, 40.0)]


def test_changed_answers(settings: Settings, answers: list[KeptAnswer]) -> None:
    (changed,) = run(settings, "decision_before")
    assert changed == ("u1", answers[3].at, "2", 0.85, "yes", "no", 0.35, "1")


def test_feasts_users_register_the_views_as_sources(settings: Settings, answers: list[KeptAnswer]) -> None:
    """A score and a value of an earlier answer, read back by Feast's own point-in-time join."""
    export(settings)
    made: dict[str, Any] = {}
    exec(PYTHON, made)
    user = Entity(name="answered_user", join_keys=["user_id"], value_type=ValueType.STRING)
    views = [
        FeatureView(name=name, entities=[user], ttl=timedelta(days=30), schema=[Field(name=column, dtype=Float64)],
                    source=source)
        for name, column, source in (
            ("scores_fv", "score", made["answers"]), ("fees_fv", "monthly_fee", made["monthly_fees"])
        )
    ]  # fmt: skip
    asked = pd.DataFrame(
        {
            "user_id": ["u1", "u1", "u1", "u2", "u3"],
            "event_timestamp": [answers[0].at - timedelta(seconds=1), answers[1].at, *[answers[-1].at] * 3],
        }
    )
    with feature_store(settings) as store, quiet():
        store.apply([user, made["answers"], made["monthly_fees"], *views])
        for source in (made["answers"], made["monthly_fees"]):
            assert "user_id" in dict(source.get_table_column_names_and_types(store.config))
        job = store.get_historical_features(asked, ["scores_fv:score", "fees_fv:monthly_fee"])
        read = job.to_df().sort_values(["user_id", "event_timestamp"])
    assert read["score"].fillna(-1).tolist() == [-1, 0.25, 0.85, 0.75, -1]
    assert read["monthly_fee"].fillna(-1).tolist() == [-1, 10.0, 50.0, 30.0, -1]
