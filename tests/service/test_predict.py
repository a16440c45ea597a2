"""The serving contract, row by row, against the built Bento over a socket."""

import asyncio
import contextlib
import json
import random
import string
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pandas as pd
import psutil
import pytest

import asof
from asof.features.feature_contract import model_frame
from asof.features.feature_definition import digest_of
from asof.serving.features.evidence import StoreEvidence, prediction_type
from asof.settings import Settings
from asof.use_cases import load
from local.embedded_postgres import postgres
from tests.kits.data.definitions import TRIPLED, redefine
from tests.kits.service import serving as kit
from tests.kits.service.serving import NOW, USER, WITHOUT_INTERNET
from training.features.materialisation.feature_registry import apply_features

if TYPE_CHECKING:
    from tests.kits.service.small_model import SmallModel

FRESH, OLD, COMING = NOW - timedelta(days=10), NOW - timedelta(days=60), NOW + timedelta(days=1)
MANY = kit.users_like(200, seed=2)
JSON = {"Content-Type": "application/json"}


def without(view: str) -> dict[str, Any]:
    return {name: values for name, values in USER.items() if name != view}


@pytest.fixture(scope="module")
def service(
    settings: Settings, small_model: "SmallModel", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """The running service, with a user for each row of the contract."""
    no_fee = {**USER, "subs_profile_fv": {**USER["subs_profile_fv"], "monthly_fee": None}}
    fresh = {
        "good": USER,
        "no-internet": {**USER, **WITHOUT_INTERNET},
        "null-fee": no_fee,
        "only-users": {"users_fv": USER["users_fv"]},
        "old-support": without("support_agg_90d_fv"),
        "old-usage": without("usage_agg_30d_fv"),
        "coming-payments": without("payments_agg_90d_fv"),
        "coming-usage": without("usage_agg_30d_fv"),
        **MANY,
    }
    kit.write_users(settings, fresh, FRESH)
    old = {"old-support": "support_agg_90d_fv", "old-usage": "usage_agg_30d_fv"}
    coming = {"coming-payments": "payments_agg_90d_fv", "coming-usage": "usage_agg_30d_fv"}
    for views, as_of in ((old, OLD), (coming, COMING)):
        kit.write_users(settings, {user: {view: USER[view]} for user, view in views.items()}, as_of)
    folder = tmp_path_factory.mktemp("service")
    variables = {"ASOF_CLOCK": NOW.isoformat(), "ASOF_FEATURES_SECONDS": "0.5"}
    with kit.serving(settings, small_model.bundle.bento_tag, folder, **variables) as client:
        kit.eventually(lambda: client.get("/readyz").status_code == 200, 60, folder / "log")
        yield client


def predict(service: httpx.Client, user: str) -> httpx.Response:
    return service.post("/predict", json={"user_id": user})


def expected(small_model: "SmallModel", views: Any) -> float:
    frame = model_frame(pd.DataFrame([kit.flat(views)]), small_model.contract)
    return float(small_model.estimator.predict_proba(frame)[0, 1])


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, checked for what every problem has."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"urn:asof:problem:{code}"
    assert document["request_id"] == response.headers["x-request-id"]
    assert document["instance"] == response.request.url.path
    assert document["title"]
    assert "Traceback" not in response.text
    return document


def test_a_known_user_gets_a_prediction_with_all_that_it_rests_on(
    service: httpx.Client, small_model: "SmallModel"
) -> None:
    response = predict(service, "good")
    answer = response.json()
    assert response.status_code == 200
    assert answer["user_id"] == "good"
    assert answer["probability"] == pytest.approx(expected(small_model, USER), abs=1e-9)
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


def test_an_answer_is_to_the_last_byte_what_its_description_makes_of_it(service: httpx.Client) -> None:
    described = prediction_type(load("churn"), StoreEvidence)
    for user in ("good", "old-support"):
        text = predict(service, user).text
        assert described.model_validate_json(text).model_dump_json() == text


def test_a_user_without_internet_is_a_valid_prediction(service: httpx.Client, small_model: "SmallModel") -> None:
    answer = predict(service, "no-internet").json()
    assert answer["probability"] == pytest.approx(expected(small_model, {**USER, **WITHOUT_INTERNET}), abs=1e-9)


@pytest.mark.parametrize("user", ["nobody", "GOOD", "good'; DROP TABLE users; --", "~" * 500])
def test_an_unknown_user_is_a_404_that_names_the_user(service: httpx.Client, user: str) -> None:
    document = problem(service.post("/predict", json={"user_id": user}), 404, "entity-not-found")
    assert document["entity"] == user
    assert repr(document["entity"]) in document["detail"] or document["entity"] in document["detail"]


def test_a_null_feature_is_named(service: httpx.Client) -> None:
    document = problem(predict(service, "null-fee"), 422, "missing-features")
    assert document["missing_features"] == [{"feature": "monthly_fee", "view": "subs_profile_fv", "verdict": "NULL"}]


def test_views_without_a_row_of_a_known_user_are_named(service: httpx.Client, small_model: "SmallModel") -> None:
    missing = problem(predict(service, "only-users"), 422, "missing-features")["missing_features"]
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
    stale = problem(response, 503, "stale-features")["stale_features"]
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
    document = problem(service.post("/predict", content=body, headers=JSON), 422, "invalid-request")
    assert at in {error["at"] for error in document["errors"]}
    assert all(error["rule"] for error in document["errors"])


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json", None])
def test_only_json_is_taken(service: httpx.Client, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    problem(service.post("/predict", content=b'{"user_id": "good"}', headers=headers), 415, "unsupported-media-type")


def test_json_may_name_its_charset(service: httpx.Client) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert service.post("/predict", content=b'{"user_id": "good"}', headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/nope", "/predict/good", "/features", "/features/", "/openapi.json"])
def test_an_address_that_does_not_exist_is_a_problem_too(service: httpx.Client, path: str) -> None:
    problem(service.get(path), 404, "not-found")


def test_no_body_makes_the_service_fail(service: httpx.Client) -> None:
    chance = random.Random(7)
    alphabet = string.printable + '{}[]":,\\u0000é'
    bodies = ["".join(chance.choices(alphabet, k=chance.randrange(60))).encode() for _ in range(150)]
    values = [None, 1, 1e308, "é", "\x7f", [], {}, {"user_id": {}}, "x" * 500]
    bodies += [json.dumps({"user_id": value}).encode() for value in values]
    bodies += [chance.randbytes(40) for _ in range(50)]
    assert {service.post("/predict", content=body, headers=JSON).status_code for body in bodies} <= {404, 422}


def test_a_request_id_is_taken_over_if_it_is_sane(service: httpx.Client) -> None:
    given = service.post("/predict", json={"user_id": "nobody"}, headers={"X-Request-ID": "trace-42"})
    assert problem(given, 404, "entity-not-found")["request_id"] == "trace-42"
    made = service.post("/predict", json={"user_id": "good"}, headers={"X-Request-ID": "x" * 500 + "\t{}"})
    assert len(made.headers["x-request-id"]) == 32
    assert made.headers["x-request-id"] == made.json()["request_id"]


def test_two_hundred_users_at_once_each_get_their_own_answer(service: httpx.Client, small_model: "SmallModel") -> None:
    async def ask() -> dict[str, float]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=service.base_url, timeout=30, limits=limits) as client:
            answers = await asyncio.gather(*(client.post("/predict", json={"user_id": user}) for user in MANY))
        return {answer.json()["user_id"]: answer.json()["probability"] for answer in answers}

    answers = asyncio.run(ask())
    assert answers == pytest.approx({user: expected(small_model, views) for user, views in MANY.items()}, abs=1e-9)
    assert len(set(answers.values())) > 100


def test_whoever_is_asked_for_in_the_same_batch_changes_nobodys_answer(
    service: httpx.Client, small_model: "SmallModel"
) -> None:
    others = {"nobody": 404, "null-fee": 422, "only-users": 422, "old-usage": 503, "coming-usage": 503, "bad id ": 422}
    asked = [each for user, other in zip(MANY, [*others] * len(MANY), strict=False) for each in (user, other)]

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=service.base_url, timeout=30) as client:
            return await asyncio.gather(*(client.post("/predict", json={"user_id": user}) for user in asked[:120]))

    for user, answer in zip(asked, asyncio.run(ask()), strict=False):
        assert answer.status_code == others.get(user, 200), answer.text
        if user in MANY:
            assert answer.json()["probability"] == pytest.approx(expected(small_model, MANY[user]), abs=1e-9)


def test_features_show_value_moment_age_and_verdict(service: httpx.Client, small_model: "SmallModel") -> None:
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
    problem(service.get("/features/nobody"), 404, "entity-not-found")


def test_what_a_feature_means_is_looked_at_while_the_service_runs(
    settings: Settings, service: httpx.Client, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.touch()
    redefine(settings, change=TRIPLED)
    kit.eventually(lambda: predict(service, "good").status_code == 503, 20, log)
    document = problem(predict(service, "good"), 503, "feature-contract-mismatch")
    assert (
        "subs_profile_fv is defined otherwise (- monthly_fee | + monthly_fee * 3 AS monthly_fee)" in document["detail"]
    )
    assert service.get("/readyz").status_code == 503
    apply_features(settings)
    kit.eventually(lambda: predict(service, "good").status_code == 200, 20, log)
    kit.eventually(lambda: service.get("/readyz").status_code == 200, 20, log)


def test_the_model_tells_its_lineage(service: httpx.Client, small_model: "SmallModel") -> None:
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


def test_health_tells_store_model_and_clock(service: httpx.Client, small_model: "SmallModel") -> None:
    health = service.get("/health").json()
    assert (health["status"], health["feature_store"]) == ("ok", "ok")
    assert (health["model"], health["version"]) == (kit.NAME, small_model.bundle.version)
    assert (health["clock"], health["replaying"]) == ("2026-03-31T00:00:00Z", True)


def test_the_description_has_examples_for_success_and_for_each_error(service: httpx.Client) -> None:
    description = service.get("/docs.json").json()
    assert {"/predict", "/features/{user_id}", "/model", "/health", "/livez", "/readyz"} <= set(description["paths"])
    predict = description["paths"]["/predict"]["post"]
    responses = predict["responses"]
    success = responses["200"]["content"]["application/json"]["example"]
    assert set(success) == set(predict_schema(description))
    examples = {
        code
        for response in responses.values()
        for code in response["content"].get("application/problem+json", {}).get("examples", {})
    }
    assert examples == {
        "invalid-request",
        "entity-not-found",
        "missing-features",
        "stale-features",
        "feature-contract-mismatch",
        "feature-store-unavailable",
        "not-ready",
        "overloaded",
        "body-too-slow",
        "body-too-large",
        "unsupported-media-type",
        "not-implemented",
        "internal-error",
    }
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


@pytest.fixture
def own_postgres(small_model: "SmallModel", tmp_path: Path) -> Iterator[Settings]:
    """A PostgreSQL of the test's own, with one good user; stopped when the test begins."""
    home = Settings(postgres_url=None, home=tmp_path)
    settings = postgres.ensure(home)
    apply_features(settings)
    kit.write_users(settings, {"good": USER}, FRESH)
    postgres.stop(home)
    yield settings
    postgres.remove(home)


def test_the_service_outlives_its_store(
    own_postgres: Settings, small_model: "SmallModel", tmp_path_factory: pytest.TempPathFactory
) -> None:
    """PostgreSQL is away at the start, comes, is restarted, is stopped, comes back, hangs, and comes to."""
    folder = tmp_path_factory.mktemp("outage")
    home = own_postgres.model_copy(update={"postgres_url": None})
    variables = {"ASOF_CLOCK": NOW.isoformat(), "ASOF_MAX_IN_FLIGHT": "4", "ASOF_LOOKUP_TIMEOUT": "1.5"}
    with kit.serving(own_postgres, small_model.bundle.bento_tag, folder, **variables) as client:

        def refused() -> None:
            for _ in range(3):
                response = predict(client, "good")  # it has come while the store was away
                problem(response, 503, "feature-store-unavailable")
                assert int(response.headers["retry-after"]) > 0
            problem(client.get("/readyz"), 503, "not-ready")
            assert client.get("/health").json()["status"] == "unavailable"
            assert client.get("/livez").status_code == 200

        def recovered() -> None:
            kit.eventually(lambda: client.get("/readyz").status_code == 200, 30, folder / "log")
            assert predict(client, "good").status_code == 200

        refused()
        postgres.start(home)
        recovered()

        postgres.stop(home)
        postgres.start(home)
        assert predict(client, "good").status_code == 200, "a restart between two requests costs none"

        postgres.stop(home)
        refused()
        pid = postgres.start(home).pid
        recovered()

        server = psutil.Process(pid)
        with hanging([server, *server.children(recursive=True)]):
            refused()
            answers = asyncio.run(ask_at_once(client, 8))
            assert {answer.status_code for answer in answers} == {429, 503}
            overloaded = next(answer for answer in answers if answer.status_code == 429)
            assert problem(overloaded, 429, "overloaded")
            assert int(overloaded.headers["retry-after"]) > 0
        recovered()


@contextlib.contextmanager
def hanging(processes: list[psutil.Process]) -> Iterator[None]:
    """Stops processes as SIGSTOP does: their connections stay open and nothing answers."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


async def ask_at_once(client: httpx.Client, count: int) -> list[httpx.Response]:
    async with httpx.AsyncClient(base_url=client.base_url, timeout=60) as many:
        return await asyncio.gather(*(many.post("/predict", json={"user_id": "good"}) for _ in range(count)))
