"""The built Bento: what it answered is known to POST /outcomes, and joined with what is reported there."""

import random
import time
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from asof.use_cases import load
from monitoring.outcomes.matured import join_outcomes
from tests.kits.service.churn_service import KEYS, ChurnService
from tests.kits.service.protocols import VALUES, random_bodies
from tests.kits.service.serving import NOW

USERS = KEYS[:4]


def reported(client: httpx.Client, items: list[dict[str, Any]]) -> list[str]:
    """The verdicts, once every answer is in the ledger."""
    until = time.monotonic() + 60
    while True:
        response = client.post("/outcomes", json={"outcomes": items})
        if response.status_code == 200 and not response.json()["unknown"]:
            return [each["verdict"] for each in response.json()["outcomes"]]
        assert response.status_code in (200, 503), response.text
        assert time.monotonic() < until, response.text
        time.sleep(0.2)


def test_answers_are_reported_by_request_by_item_and_by_entity(churn_service: ChurnService) -> None:
    client = churn_service.client
    single = client.post("/predict", json={"user_id": USERS[0]}, headers={"X-Request-ID": "of-the-caller"}).json()
    batch = client.post("/predict/batch", json={"instances": [{"user_id": each} for each in USERS]}).json()
    as_of = max(single["as_of"].values())
    common = {"observed_at": NOW.isoformat()}
    items: list[dict[str, Any]] = [
        {"request_id": "of-the-caller", "outcome": True, **common},
        {"request_id": batch["request_id"], "item": 1, "outcome": False, **common},
        {"request_id": batch["request_id"], "item": 2, "outcome": True, "acted": True, **common},
    ]
    again = {"entity": USERS[0], "as_of": as_of, "outcome": True, **common}
    assert set(reported(client, items)) <= {"accepted", "unchanged"}
    assert reported(client, [*items, again]) == ["unchanged"] * 4
    moment = datetime.fromisoformat(as_of)
    joined = join_outcomes(churn_service.settings, load("churn"), moment, moment + timedelta(seconds=1)).frame
    rows = joined[joined["entity"].isin(USERS)].set_index("entity")
    assert rows.loc[USERS[:3], "outcome"].tolist() == [True, False, True]
    assert rows.loc[USERS[2], "acted"]
    scores = [each["probability"] for each in batch["predictions"]]
    assert rows.loc[USERS, "score"].tolist() == scores


@pytest.mark.soak
def test_two_thousand_random_bodies_never_cause_an_internal_error(churn_service: ChurnService) -> None:
    client, statuses = churn_service.client, set()
    answer = client.post("/predict", json={"user_id": USERS[0]}).json()
    reported(client, [{"request_id": answer["request_id"], "outcome": True, "observed_at": NOW.isoformat()}])
    for body in random_bodies(_drawn, 2000, seed=14):
        response = client.post("/outcomes", content=body, headers={"Content-Type": "application/json"})
        statuses.add(response.status_code)
    assert 200 in statuses
    assert statuses <= {200, 413, 422}


def _drawn(chance: random.Random) -> Any:
    """Items, up to two members of which are replaced or added."""
    moment = NOW.isoformat()
    item = {"entity": chance.choice(USERS), "as_of": moment, "outcome": True, "observed_at": moment, "key": "k"}
    for _ in range(chance.randrange(3)):
        item[chance.choice([*item, "request_id", "item", "acted", "control", "more"])] = chance.choice(VALUES)
    return {"outcomes": [item] * chance.choice([1, 1, 2])}
