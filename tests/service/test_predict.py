"""The serving contract, row by row, against the built Bento over a socket."""

import asyncio
import json
import random
import string
from collections.abc import Mapping
from typing import Any

import httpx
import pandas as pd
import pytest

import asof
from asof.features.feature_contract import model_frame
from asof.features.feature_definition import digest_of
from asof.ledger.request_id import UUID7
from asof.serving.features.evidence import StoreEvidence, prediction_type
from asof.settings import export
from asof.use_cases import load
from tests.kits.data.definitions import TRIPLED, redefine
from tests.kits.service import serving as kit
from tests.kits.service.answers import (
    OF_EVERY_PREDICTION,
    OF_ONE_PREDICTION,
    OF_THE_STORE,
    described_problems,
    problem_at,
)
from tests.kits.service.churn_service import MANY, ChurnService
from tests.kits.service.serving import USER, WITHOUT_INTERNET
from tests.kits.service.small_model import SmallModel
from training.features.materialisation.feature_registry import apply_features

SOME = dict(list(MANY.items())[:200])
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def service(churn_service: ChurnService) -> httpx.Client:
    export(churn_service.settings)
    return churn_service.client


@pytest.fixture(scope="module")
def small_model(churn_service: ChurnService) -> SmallModel:
    """The model that it serves."""
    return churn_service.model


def predict(service: httpx.Client, user: str) -> httpx.Response:
    return service.post("/predict", json={"user_id": user})


def expected(small_model: SmallModel, users: Mapping[str, Any]) -> dict[str, float]:
    """The estimator's probability for each user."""
    frame = model_frame(pd.DataFrame([kit.flat(views) for views in users.values()]), small_model.contract)
    return dict(zip(users, small_model.estimator.predict_proba(frame)[:, 1].tolist(), strict=True))


def test_a_known_user_gets_a_prediction_with_its_lineage_and_evidence(
    service: httpx.Client, small_model: SmallModel
) -> None:
    response = predict(service, "good")
    answer = response.json()
    assert response.status_code == 200
    assert answer["user_id"] == "good"
    assert answer["probability"] == pytest.approx(expected(small_model, {"good": USER})["good"], abs=1e-9)
    assert answer["churn"] is (answer["probability"] >= answer["threshold"])
    assert answer["threshold"] == kit.THRESHOLD
    assert answer["model"] | {"run_id": ""} == {
        "name": kit.NAME,
        "version": small_model.bundle.version,
        "run_id": "",
        "bento": small_model.bundle.bento_tag,
        "fingerprint": "f" * 64,
        "feature_service": "churn_v2",
        "as_of": "2026-02-28T00:00:00Z",
        "git_commit": "c" * 40,
    }
    assert answer["as_of"] == dict.fromkeys(small_model.contract.views, "2026-03-21T00:00:00Z")
    assert answer["flags"] == []
    assert answer["request_id"] == response.headers["x-request-id"]


def test_an_answer_equals_its_described_type_byte_for_byte(service: httpx.Client) -> None:
    described = prediction_type(load("churn"), StoreEvidence)
    for user in ("good", "old-support"):
        text = predict(service, user).text
        assert described.model_validate_json(text).model_dump_json() == text


def test_a_user_without_internet_is_a_valid_prediction(service: httpx.Client, small_model: SmallModel) -> None:
    answer = predict(service, "no-internet").json()
    users = {"no-internet": {**USER, **WITHOUT_INTERNET}}
    assert {"no-internet": answer["probability"]} == pytest.approx(expected(small_model, users), abs=1e-9)


@pytest.mark.parametrize("user", ["nobody", "GOOD", "good'; DROP TABLE users; --", "~" * 500])
def test_an_unknown_user_is_a_404_that_names_the_user(service: httpx.Client, user: str) -> None:
    document = problem_at(service.post("/predict", json={"user_id": user}), 404, "entity-not-found")
    assert document["entity"] == user
    assert repr(document["entity"]) in document["detail"] or document["entity"] in document["detail"]


def test_a_null_feature_is_named(service: httpx.Client) -> None:
    document = problem_at(predict(service, "null-fee"), 422, "missing-features")
    assert document["missing_features"] == [{"feature": "monthly_fee", "view": "subs_profile_fv", "verdict": "NULL"}]


def test_views_without_a_row_of_a_known_user_are_named(service: httpx.Client, small_model: SmallModel) -> None:
    missing = problem_at(predict(service, "only-users"), 422, "missing-features")["missing_features"]
    assert {one["feature"] for one in missing} == set(small_model.contract.names) - set(USER["users_fv"])
    assert {one["verdict"] for one in missing} == {"NOT_FOUND"}


@pytest.mark.parametrize(
    ("user", "feature", "verdict", "age"),
    [("old-support", "support_tickets_90d", "STALE", 60.0), ("coming-payments", "failed_payments_90d", "FUTURE", -1.0)],
)
def test_an_untimely_feature_of_a_lenient_view_is_flagged(
    service: httpx.Client, user: str, feature: str, verdict: str, age: float
) -> None:
    response = predict(service, user)
    assert response.status_code == 200
    (flag,) = response.json()["flags"]
    assert (flag["feature"], flag["verdict"], flag["age_days"], flag["max_age_days"]) == (feature, verdict, age, 45.0)


@pytest.mark.parametrize(("user", "verdict"), [("old-usage", "STALE"), ("coming-usage", "FUTURE")])
def test_an_untimely_feature_of_a_strict_view_is_refused(service: httpx.Client, user: str, verdict: str) -> None:
    response = predict(service, user)
    stale = problem_at(response, 503, "stale-features")["stale_features"]
    assert {one["view"] for one in stale} == {"usage_agg_30d_fv"}
    assert {one["verdict"] for one in stale} == {verdict}
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (b"", "body"),
        (b"not json", "body"),
        (b'{"user_id": "good"', "body"),
        (b"[]", "body"),
        (b'[{"user_id": "good"}]', "body"),
        (b"7", "body"),
        (b"null", "body"),
        (b'"good"', "body"),
        (b"{}", "body.user_id"),
        (b'{"user_id": null}', "body.user_id"),
        (b'{"user_id": 123}', "body.user_id"),
        (b'{"user_id": true}', "body.user_id"),
        (b'{"user_id": ["good"]}', "body.user_id"),
        (b'{"user_id": ""}', "body.user_id"),
        (b'{"user_id": "good "}', "body.user_id"),
        (b'{"user_id": "\\u0000"}', "body.user_id"),
        (b'{"user_id": "\\ud800"}', "body.user_id"),
        (b'{"user_id": "%s"}' % (b"x" * 501), "body.user_id"),
        (b'{"user_id": NaN}', "body"),
        (b'{"user_id": -Infinity}', "body"),
        (b'{"user_id": "good", "user_id": "nobody"}', "body"),
        (b'{"user_id": "good", "monthly_fee": 1.0}', "body.monthly_fee"),
        (b'{"request": {"user_id": "good"}}', "body.user_id"),
        (b'{"user_id": "\xff"}', "body"),
        (b"[" * 30_000, "body"),
        (b'{"user_id": %s}' % (b"9" * 5000), "body"),
    ],
)
def test_a_malformed_body_is_a_422_that_names_the_place(service: httpx.Client, body: bytes, at: str) -> None:
    document = problem_at(service.post("/predict", content=body, headers=JSON), 422, "invalid-request")
    assert at in {error["at"] for error in document["errors"]}
    assert all(error["rule"] for error in document["errors"])


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json", None])
def test_only_json_is_accepted(service: httpx.Client, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    problem_at(service.post("/predict", content=b'{"user_id": "good"}', headers=headers), 415, "unsupported-media-type")


def test_json_may_name_its_charset(service: httpx.Client) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert service.post("/predict", content=b'{"user_id": "good"}', headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/nope", "/predict/good", "/features", "/features/", "/openapi.json"])
def test_an_address_that_does_not_exist_is_a_problem_too(service: httpx.Client, path: str) -> None:
    problem_at(service.get(path), 404, "not-found")


def test_no_body_causes_an_internal_error(service: httpx.Client) -> None:
    chance = random.Random(7)
    alphabet = string.printable + '{}[]":,\\u0000é'
    bodies = ["".join(chance.choices(alphabet, k=chance.randrange(60))).encode() for _ in range(150)]
    values = [None, 1, 1e308, "é", "\x7f", [], {}, {"user_id": {}}, "x" * 500]
    bodies += [json.dumps({"user_id": value}).encode() for value in values]
    bodies += [chance.randbytes(40) for _ in range(50)]
    assert {service.post("/predict", content=body, headers=JSON).status_code for body in bodies} <= {404, 422}


def test_a_valid_request_id_is_kept_and_another_is_replaced(service: httpx.Client) -> None:
    kept = service.post("/predict", json={"user_id": "nobody"}, headers={"X-Request-ID": "trace-42"})
    assert problem_at(kept, 404, "entity-not-found")["request_id"] == "trace-42"
    made = service.post("/predict", json={"user_id": "good"}, headers={"X-Request-ID": "x" * 500 + "\t{}"})
    assert UUID7.fullmatch(made.headers["x-request-id"])
    assert made.headers["x-request-id"] == made.json()["request_id"]


def test_two_hundred_users_at_once_each_get_their_own_answer(service: httpx.Client, small_model: SmallModel) -> None:
    async def ask() -> dict[str, float]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=service.base_url, timeout=30, limits=limits) as client:
            answers = await asyncio.gather(*(client.post("/predict", json={"user_id": user}) for user in SOME))
        return {answer.json()["user_id"]: answer.json()["probability"] for answer in answers}

    answers = asyncio.run(ask())
    assert answers == pytest.approx(expected(small_model, SOME), abs=1e-9)
    assert len(set(answers.values())) > 100


def test_failures_in_the_same_batch_of_lookups_change_no_other_answer(
    service: httpx.Client, small_model: SmallModel
) -> None:
    others = {"nobody": 404, "null-fee": 422, "only-users": 422, "old-usage": 503, "coming-usage": 503, "bad id ": 422}
    asked = [each for user, other in zip(SOME, [*others] * len(SOME), strict=False) for each in (user, other)]

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=service.base_url, timeout=30) as client:
            return await asyncio.gather(*(client.post("/predict", json={"user_id": user}) for user in asked[:120]))

    probabilities = expected(small_model, SOME)
    for user, answer in zip(asked, asyncio.run(ask()), strict=False):
        assert answer.status_code == others.get(user, 200), answer.text
        if user in SOME:
            assert answer.json()["probability"] == pytest.approx(probabilities[user], abs=1e-9)


def test_features_show_value_moment_age_and_verdict(service: httpx.Client, small_model: SmallModel) -> None:
    shown = service.get("/features/null-fee").json()
    features = {feature["name"]: feature for feature in shown["features"]}
    assert shown["entity"] == "null-fee"
    assert list(features) == small_model.contract.names
    assert features["monthly_fee"] == {
        "name": "monthly_fee",
        "view": "subs_profile_fv",
        "value": None,
        "verdict": "NULL",
        "as_of": "2026-03-21T00:00:00Z",
        "age_days": 10.0,
        "max_age_days": 45.0,
        "staleness": "refuse",
    }
    assert {name: feature["value"] for name, feature in features.items() if name != "monthly_fee"}.items() <= kit.flat(
        USER
    ).items()
    assert type(features["has_family"]["value"]) is bool
    assert features["support_tickets_90d"]["staleness"] == "flag"


def test_features_of_an_untimely_user_are_shown_and_of_an_unknown_one_are_not(service: httpx.Client) -> None:
    old = {feature["name"]: feature["verdict"] for feature in service.get("/features/old-usage").json()["features"]}
    assert (old["watch_hours_30d"], old["monthly_fee"]) == ("STALE", "PRESENT")
    problem_at(service.get("/features/nobody"), 404, "entity-not-found")


def test_a_changed_definition_of_a_feature_is_refused_while_the_service_runs(
    churn_service: ChurnService, service: httpx.Client
) -> None:
    settings, log = churn_service.settings, churn_service.log
    redefine(settings, change=TRIPLED)
    kit.eventually(lambda: predict(service, "good").status_code == 503, 20, log)
    document = problem_at(predict(service, "good"), 503, "feature-contract-mismatch")
    assert (
        "subs_profile_fv is defined otherwise (- monthly_fee | + monthly_fee * 3 AS monthly_fee)" in document["detail"]
    )
    assert service.get("/readyz").status_code == 503
    apply_features(settings)
    kit.eventually(lambda: predict(service, "good").status_code == 200, 20, log)
    kit.eventually(lambda: service.get("/readyz").status_code == 200, 20, log)


def test_the_model_page_has_its_lineage(service: httpx.Client, small_model: SmallModel) -> None:
    model = service.get("/model").json()
    shown = {part: model["contract"][part] for part in ("features", "definitions")}
    assert model["contract"] == small_model.contract.to_dict() | shown
    assert shown["definitions"] == {view: digest_of(text) for view, text in small_model.contract.definitions.items()}
    assert [feature["name"] for feature in model["contract"]["features"]] == small_model.contract.names
    assert model["contract_digest"] == small_model.contract.digest
    assert (model["fingerprint"], model["rows_digest"]) == ("f" * 64, "d" * 64)
    assert (model["use_case"], model["estimator"], model["random_state"]) == ("churn", "small", 7)
    assert model["known_at"] == "2026-03-30T00:00:00Z"
    assert (model["runtime"], model["asof_version"]) == ("onnx", asof.__version__)


def test_health_has_store_model_and_clock(service: httpx.Client, small_model: SmallModel) -> None:
    health = service.get("/health").json()
    assert (health["status"], health["feature_store"]) == ("ok", "ok")
    assert (health["model"], health["version"]) == (kit.NAME, small_model.bundle.version)
    assert (health["clock"], health["replaying"]) == ("2026-03-31T00:00:00Z", True)


def test_the_description_has_examples_for_success_and_for_each_error(service: httpx.Client) -> None:
    description = service.get("/docs.json").json()
    assert {"/predict", "/features/{user_id}", "/model", "/health", "/livez", "/readyz"} <= set(description["paths"])
    predict = description["paths"]["/predict"]["post"]
    success = predict["responses"]["200"]["content"]["application/json"]["example"]
    assert set(success) == set(predict_schema(description))
    lookups = {"entity-not-found", "missing-features", "stale-features"}
    assert described_problems(predict) == OF_EVERY_PREDICTION | OF_THE_STORE | lookups | OF_ONE_PREDICTION
    request = description["components"]["schemas"]["ChurnRequest"]
    assert request["examples"] == [{"user_id": "7590-VHVEG"}]


def predict_schema(description: dict[str, Any]) -> dict[str, Any]:
    reference = description["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    schema: dict[str, Any] = description["components"]["schemas"][reference["$ref"].rpartition("/")[2]]
    return dict(schema["properties"])


def test_outcomes_and_lookups_are_counted(service: httpx.Client) -> None:
    def count(line: str) -> float:
        lines = service.get("/metrics").text.splitlines()
        return sum(float(one.rpartition(" ")[2]) for one in lines if one.startswith(line))

    counters = ('asof_predictions_total{code="ok"}', 'asof_predictions_total{code="entity-not-found"}')
    before = [count(line) for line in (*counters, "asof_lookup_seconds_count")]
    predict(service, "good")
    predict(service, "nobody")
    assert [count(line) for line in (*counters, "asof_lookup_seconds_count")] == [
        before[0] + 1,
        before[1] + 1,
        before[2] + 2,
    ]
