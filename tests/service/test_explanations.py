"""Explained answers of the built Bento: what each feature contributes, up to the score."""

from math import exp
from typing import Any

import httpx
import pandas as pd
import pytest

from asof.features.feature_contract import model_frame
from asof.serving.features.evidence import StoreEvidence, prediction_type
from asof.use_cases import load
from tests.kits.service import serving as kit
from tests.kits.service.answers import problem_at
from tests.kits.service.churn_service import MANY, ChurnService
from tests.kits.service.serving import USER


@pytest.fixture
def client(churn_service: ChurnService) -> httpx.Client:
    return churn_service.client


def explain(client: httpx.Client, user: str, **more: Any) -> dict[str, Any]:
    response = client.post("/predict", json={"user_id": user, "explain": True, **more})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_the_contributions_add_up_to_the_log_odds_of_the_probability(churn_service: ChurnService) -> None:
    for user in list(MANY)[:50]:
        answer = explain(churn_service.client, user)
        why = answer["explanation"]
        total = why["base"] + sum(each["contribution"] for each in why["contributions"])
        assert why["space"] == "log odds"
        assert why["score"] == pytest.approx(total, abs=1e-9)
        assert 1 / (1 + exp(-total)) == pytest.approx(answer["probability"], abs=1e-9)
        plain = churn_service.client.post("/predict", json={"user_id": user}).json()
        assert plain == {name: each for name, each in answer.items() if name != "explanation"} | {
            "request_id": plain["request_id"]
        }, "all else is the same without"


def test_every_feature_is_named_with_its_value_the_greatest_contribution_first(churn_service: ChurnService) -> None:
    contributions = explain(churn_service.client, "good")["explanation"]["contributions"]
    values = {each["feature"]: each["value"] for each in contributions}
    assert values == {name: kit.flat(USER)[name] for name in churn_service.model.contract.names}
    sizes = [abs(each["contribution"]) for each in contributions]
    assert sizes == sorted(sizes, reverse=True)


def test_the_scores_are_those_of_the_estimator(churn_service: ChurnService) -> None:
    users = list(MANY.items())[:20]
    frame = model_frame(pd.DataFrame([kit.flat(views) for _, views in users]), churn_service.model.contract)
    expected = churn_service.model.estimator.decision_function(frame)
    found = [explain(churn_service.client, user)["explanation"]["score"] for user, _ in users]
    assert found == pytest.approx(expected.tolist(), abs=1e-9)


def test_a_what_if_changes_only_what_it_overrides(client: httpx.Client) -> None:
    plain, other = (
        explain(client, "good", **more)["explanation"] for more in ({}, {"overrides": {"monthly_fee": 99.5}})
    )
    changed = {
        ours["feature"]
        for ours in plain["contributions"]
        for theirs in other["contributions"]
        if ours["feature"] == theirs["feature"] and ours["contribution"] != theirs["contribution"]
    }
    assert changed == {"monthly_fee"}
    assert other["base"] == plain["base"]


def test_an_explained_answer_equals_its_described_type_byte_for_byte(client: httpx.Client) -> None:
    described = prediction_type(load("churn"), StoreEvidence)
    body = {"user_id": "old-support", "explain": True, "overrides": {"monthly_fee": 99.5, "has_family": False}}
    text = client.post("/predict", json=body).text
    assert described.model_validate_json(text).model_dump_json() == text


def test_a_refusal_is_that_of_a_plain_request(client: httpx.Client) -> None:
    for user, status, code in (("nobody", 404, "entity-not-found"), ("null-fee", 422, "missing-features")):
        problem_at(client.post("/predict", json={"user_id": user, "explain": True}), status, code)


@pytest.mark.parametrize("value", [1, "true", None, [], {}])
def test_explain_is_true_or_false(client: httpx.Client, value: Any) -> None:
    document = problem_at(client.post("/predict", json={"user_id": "good", "explain": value}), 422, "invalid-request")
    assert document["errors"][0]["at"] == "body.explain"


def test_the_model_says_what_its_explanations_add_up_to(client: httpx.Client) -> None:
    assert client.get("/model").json()["explanation"] == "log odds"
