"""The built Bento with a ledger: what it says it keeps is kept, with the values that the answer rests on."""

from datetime import datetime
from typing import Any

import httpx
import pytest

from asof.ledger.request_id import UUID7
from asof.settings import Settings
from tests.kits.service.churn_service import MANY, ChurnService
from tests.kits.service.ledger import shipped

ANSWER = """
SELECT entity, status, code, score, decision, target_as_of, item, caller_id FROM ledger.predictions
WHERE request::text = %(id)s OR caller_id = %(id)s ORDER BY item"""
VALUES = """
SELECT feature, coalesce(number, whole_number), text, verdict FROM ledger.answered_values
WHERE entity = %(id)s ORDER BY at DESC, feature"""


@pytest.fixture
def client(churn_service: ChurnService) -> httpx.Client:
    return churn_service.client


@pytest.fixture
def settings(churn_service: ChurnService) -> Settings:
    return churn_service.settings


def test_an_answer_is_in_the_ledger_with_its_score(client: httpx.Client, settings: Settings) -> None:
    response = client.post("/predict", json={"user_id": "José-1"})
    body = response.json()
    assert response.headers["AsOf-Kept"] == "process"
    assert UUID7.fullmatch(body["request_id"])
    ((entity, status, code, score, decision, moment, item, caller),) = shipped(settings, ANSWER, id=body["request_id"])
    assert (entity, status, code, item, caller) == ("José-1", 200, None, None, None)
    assert score == body["probability"]
    assert decision == int(body["churn"])
    assert moment == max(datetime.fromisoformat(each) for each in body["as_of"].values())


def test_the_values_are_those_that_the_store_gave(client: httpx.Client, settings: Settings) -> None:
    features = {each["name"]: each for each in client.get("/features/EU%2F7590").json()["features"]}
    client.post("/predict", json={"user_id": "EU/7590"})
    kept = shipped(settings, VALUES, len(features), id="EU/7590")
    assert {name: text if number is None else number for name, number, text, _ in kept} == {
        name: each["value"] for name, each in features.items()
    }
    assert {name: verdict for name, *_, verdict in kept} == {name: each["verdict"] for name, each in features.items()}


@pytest.mark.parametrize(
    ("payload", "status", "code"),
    [
        ({"user_id": "nobody-knows"}, 404, "entity-not-found"),
        ({"user_id": 7}, 422, "invalid-request"),
        ({"user_id": "null-fee"}, 422, "missing-features"),
        ({"user_id": "old-usage"}, 503, "stale-features"),
    ],
)
def test_a_refusal_is_in_the_ledger(
    client: httpx.Client, settings: Settings, payload: dict[str, Any], status: int, code: str
) -> None:
    response = client.post("/predict", json=payload, headers={"X-Request-ID": f"mine-{code}"})
    assert response.headers["AsOf-Kept"] == "process"
    ((entity, *kept, caller),) = shipped(settings, ANSWER, id=f"mine-{code}")
    assert entity == (payload["user_id"] if isinstance(payload["user_id"], str) else None)
    assert (*kept[:3], caller) == (status, code, None, f"mine-{code}")


def test_each_instance_of_a_batch_is_kept_as_it_was_answered(client: httpx.Client, settings: Settings) -> None:
    users = [*list(MANY)[:1100], "nobody-knows", 7, "null-fee"]
    body = client.post("/predict/batch", json={"instances": [{"user_id": each} for each in users]}).json()
    assert {each["kept"] for each in body["predictions"]} == {"process"}
    kept = shipped(settings, ANSWER, len(users), id=body["request_id"])
    assert [each[6] for each in kept] == list(range(len(users)))
    assert [each[0] for each in kept] == [each if isinstance(each, str) else None for each in users]
    told = [(each.get("probability"), each.get("problem", {}).get("code")) for each in body["predictions"]]
    assert [(score, code) for _, _, code, score, *_ in kept] == told
