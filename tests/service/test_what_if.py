"""What-if requests to the built Bento: values of the request's own in place of stored ones."""

import json
import random
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from asof.features.feature_contract import model_frame
from asof.settings import Settings
from tests.kits.service import serving as kit
from tests.kits.service.answers import problem_at
from tests.kits.service.churn_service import ChurnService
from tests.kits.service.ledger import shipped
from tests.kits.service.serving import USER

VALUES = """
SELECT feature, coalesce(number, whole_number), text, verdict, as_of FROM ledger.answered_values
WHERE request::text = %(id)s"""
ANSWER = "SELECT hypothetical, status, code, score FROM ledger.answers WHERE request::text = %(id)s"
FEE = {"feature": "monthly_fee", "view": "subs_profile_fv"}


@pytest.fixture
def client(churn_service: ChurnService) -> httpx.Client:
    return churn_service.client


@pytest.fixture
def settings(churn_service: ChurnService) -> Settings:
    return churn_service.settings


def ask(client: httpx.Client, user: str, **overrides: Any) -> httpx.Response:
    return client.post("/predict", json={"user_id": user, "overrides": overrides})


def probability(service: ChurnService, **other: Any) -> float:
    """The estimator's, for a good user with other values."""
    frame = model_frame(pd.DataFrame([kit.flat(USER) | other]), service.model.contract)
    return float(service.model.estimator.predict_proba(frame)[0, 1])


def values_of(service: ChurnService) -> dict[str, Any]:
    """The features that the model takes of a good user."""
    return {name: kit.flat(USER)[name] for name in service.model.contract.names}


def test_the_answer_is_that_of_the_other_values_and_names_each(churn_service: ChurnService) -> None:
    response = ask(churn_service.client, "good", monthly_fee=99.5, contract_type="Two year", has_family=False)
    answer = response.json()
    assert response.status_code == 200, response.text
    other = {"monthly_fee": 99.5, "contract_type": "Two year", "has_family": False}
    assert answer["probability"] == pytest.approx(probability(churn_service, **other), abs=1e-9)
    told = {each["feature"]: (each["value"], each["stored"], each["stored_verdict"]) for each in answer["overridden"]}
    assert told == {
        "monthly_fee": (99.5, 70.35, "PRESENT"),
        "contract_type": ("Two year", "Month-to-month", "PRESENT"),
        "has_family": (False, True, "PRESENT"),
    }
    assert {each["verdict"] for each in answer["overridden"]} == {"OVERRIDDEN"}
    plain = churn_service.client.post("/predict", json={"user_id": "good"}).json()
    assert answer["as_of"] == plain["as_of"], "the moments are those of the stored values"
    assert "overridden" not in plain


@pytest.mark.parametrize("overrides", [{}, None])
def test_no_overrides_are_a_plain_request(client: httpx.Client, overrides: Any) -> None:
    body = {"user_id": "good"} if overrides is None else {"user_id": "good", "overrides": overrides}
    answer = client.post("/predict", json=body).json()
    assert "overridden" not in answer
    assert answer["flags"] == []


def test_an_override_stands_in_for_a_missing_value(churn_service: ChurnService) -> None:
    answer = ask(churn_service.client, "null-fee", monthly_fee=70).json()
    assert answer["overridden"] == [
        {**FEE, "verdict": "OVERRIDDEN", "value": 70.0, "stored": None, "stored_verdict": "NULL"}
    ]
    assert answer["probability"] == pytest.approx(probability(churn_service, monthly_fee=70.0), abs=1e-9)


def test_all_values_of_a_refused_view_may_be_overridden(client: httpx.Client, churn_service: ChurnService) -> None:
    usage = {name: value for name, value in values_of(churn_service).items() if name in USER["usage_agg_30d_fv"]}
    response = ask(client, "old-usage", **usage)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert {each["stored_verdict"] for each in answer["overridden"]} == {"STALE"}
    *some, last = usage
    stale = problem_at(ask(client, "old-usage", **{name: usage[name] for name in some}), 503, "stale-features")
    assert [each["feature"] for each in stale["stale_features"]] == [last]


def test_an_unknown_entity_stays_unknown_with_all_values_of_its_own(
    client: httpx.Client, churn_service: ChurnService
) -> None:
    problem_at(ask(client, "nobody", **values_of(churn_service)), 404, "entity-not-found")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("monthly_fee", None),
        ("monthly_fee", "70"),
        ("monthly_fee", True),
        ("monthly_fee", 10**400),
        ("months_active", 1.5),
        ("months_active", 12.0),
        ("months_active", True),
        ("months_active", 2**63),
        ("months_active", -(10**400)),
        ("has_family", 1),
        ("has_family", "true"),
        ("contract_type", 7),
        ("contract_type", "a\x00b"),
        ("contract_type", None),
        ("monthly_Fee", 70),
        ("user_id", "good"),
        ("", 70),
        ("x" * 5000, 70),
        ("user_is_senior", "no"),
    ],
    ids=lambda value: f"{value!r:.20}",
)
def test_a_value_that_the_model_cannot_take_is_a_422_that_names_it(client: httpx.Client, name: str, value: Any) -> None:
    document = problem_at(ask(client, "good", **{name: value}), 422, "invalid-request")
    (error,) = document["errors"]
    assert error["at"] == f"body.overrides.{name}"[: len(error["at"])]
    assert len(error["at"]) > len("body.overrides")
    assert error["rule"]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", "[1]", "{}", '"\\ud800"'])
def test_what_is_no_value_is_a_422(client: httpx.Client, text: str) -> None:
    body = f'{{"user_id": "good", "overrides": {{"contract_type": {text}, "monthly_fee": {text}}}}}'
    response = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    problem_at(response, 422, "invalid-request")


@pytest.mark.parametrize(
    "body", ['{"overrides": []}', '{"overrides": null}', '{"overrides": {"\\ud800": 1}}', '{"\\ud800": 1}']
)
def test_overrides_of_another_form_are_a_422(client: httpx.Client, body: str) -> None:
    whole = {"Content-Type": "application/json"}
    response = client.post("/predict", content=body.replace("{", '{"user_id": "good", ', 1), headers=whole)
    problem_at(response, 422, "invalid-request")


def test_the_ledger_has_the_values_used_and_that_they_are_hypothetical(
    client: httpx.Client, settings: Settings
) -> None:
    answer = ask(client, "good", monthly_fee=99.5, contract_type="Two year").json()
    kept = {name: rest for name, *rest in shipped(settings, VALUES, 17, id=answer["request_id"])}
    assert kept["monthly_fee"] == [99.5, None, "OVERRIDDEN", None]
    assert kept["contract_type"] == [None, "Two year", "OVERRIDDEN", None]
    assert {verdict for _, _, verdict, _ in kept.values()} == {"OVERRIDDEN", "PRESENT"}
    assert all(as_of for _, _, verdict, as_of in kept.values() if verdict == "PRESENT")
    assert shipped(settings, ANSWER, id=answer["request_id"]) == [(True, 200, None, answer["probability"])]
    plain = client.post("/predict", json={"user_id": "good"}).json()
    assert shipped(settings, ANSWER, id=plain["request_id"])[0][0] is False


def test_a_refused_what_if_is_in_the_ledger_with_its_values(client: httpx.Client, settings: Settings) -> None:
    document = problem_at(ask(client, "only-users", monthly_fee=99.5), 422, "missing-features")
    kept = {name: rest for name, *rest in shipped(settings, VALUES, 17, id=document["request_id"])}
    assert kept["monthly_fee"] == [99.5, None, "OVERRIDDEN", None]
    assert kept["contract_type"][2] == "NOT_FOUND"
    assert shipped(settings, ANSWER, id=document["request_id"]) == [(True, 422, "missing-features", None)]


@pytest.mark.parametrize("member", ["overrides", "explain"])
def test_an_instance_of_a_batch_has_no_options(client: httpx.Client, member: str) -> None:
    instances: list[Any] = [{"user_id": "good"}, {"user_id": "good", member: {}}]
    answered, refused = client.post("/predict/batch", json={"instances": instances}).json()["predictions"]
    assert "probability" in answered
    assert refused["problem"]["errors"] == [{"at": f"body.{member}", "rule": "use POST /predict"}]


def test_the_options_are_described(client: httpx.Client) -> None:
    document = client.get("/docs.json").json()
    schema = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    request = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert {"user_id", "overrides", "explain"} == request["properties"].keys()
    assert request["required"] == ["user_id"]
    assert request["additionalProperties"] is False
    answer = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert "overridden" in document["components"]["schemas"][answer["$ref"].rpartition("/")[2]]["properties"]


def test_two_thousand_random_bodies_never_fail(client: httpx.Client) -> None:
    draw = random.Random(21)
    statuses = []
    for _ in range(2000):
        response = client.post("/predict", content=_body(draw), headers={"Content-Type": "application/json"})
        assert response.status_code < 500 or response.json()["code"] == "stale-features", response.text
        statuses.append(response.status_code)
    assert {200, 404, 422} <= {*np.unique(statuses).tolist()}


def _body(draw: random.Random) -> bytes:
    names = [*kit.flat(USER), *kit.flat(USER), "nothing", "", "user_id", "explain", "é" * 40]
    overrides = {draw.choice(names): _value(draw) for _ in range(draw.randrange(4))}
    body: dict[str, Any] = {"user_id": draw.choice(["good", "good", "good", "null-fee", "nobody", "old-support"])}
    body |= {"overrides": draw.choice([overrides, overrides, overrides, [], None, "x"])} if draw.random() < 0.8 else {}
    body |= {"explain": draw.choice([True, False, None, 1, "true"])} if draw.random() < 0.5 else {}
    text = json.dumps(body)
    if draw.random() < 0.1:
        place = draw.randrange(len(text))
        text = text[:place] + draw.choice(["", "}", '"', "\\ud800", "NaN", "\x00"]) + text[place + 1 :]
    return text.encode()


def _value(draw: random.Random) -> Any:
    return draw.choice(
        [
            *(
                draw.uniform(-1e3, 1e3),
                draw.uniform(0, 120),
                draw.randrange(72),
                True,
                False,
                None,
                0,
                -1,
                1e308,
                2**63,
            ),
            *("yes", "no", "Two year", "", "é", "\u2028", "x" * 3000, [], {}, 10**30, 5e-324, -0.0),
        ]
    )
