"""Features in the request, against the built Bento over a socket, without a feature store."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bentoml
import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from asof.serving.features.evidence import RequestEvidence, prediction_type
from asof.settings import PROJECT, Settings
from asof.use_cases import load
from asof.use_cases.breast_cancer.data import EXAMPLE, NAMES
from tests.kits.models.cancer import CANCER, Made, make
from tests.kits.models.promotion import always
from tests.kits.service import serving as kit
from tests.kits.service.answers import OF_EVERY_PREDICTION, OF_ONE_PREDICTION, described_problems
from tests.kits.service.small_model import SmallModel
from training.models.evaluation.evaluate import evaluate
from training.models.fitting.train import train
from training.release.bundling.bundle import Bundle, bundle
from training.release.promotion.promote import promote, rollback
from training.release.registry.register import register
from training.release.registry.versions import model_version, production_number
from training.tracking.client import open_tracking

LIST = list(EXAMPLE)
BY_NAME = dict(zip(NAMES, EXAMPLE, strict=True))
JSON = {"Content-Type": "application/json"}
AREA, CONCAVITY = NAMES.index("mean area"), NAMES.index("mean concavity")


@pytest.fixture(scope="module")
def made(settings: Settings, small_model: SmallModel) -> Made:
    """Beside the version of another use case."""
    return make(settings)


@pytest.fixture(scope="module")
def built(settings: Settings, made: Made) -> Bundle:
    return bundle(settings, CANCER)


@pytest.fixture(scope="module")
def service(settings: Settings, built: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The service in an empty folder, without PostgreSQL, Feast, MLflow and Prefect."""
    folder = tmp_path_factory.mktemp("cancer")
    nowhere = dict.fromkeys(("ASOF_POSTGRES_URL", "ASOF_FEAST_REGISTRY_URL", "ASOF_FEAST_HOST"), "")
    absent = ("mlflow", "prefect", "feast")
    with kit.serving(settings, built.bento_tag, folder, absent, **nowhere) as client:
        yield client


def ask(service: httpx.Client, **body: Any) -> httpx.Response:
    return service.post("/predict", json=body)


def with_value(position: int, value: Any) -> list[Any]:
    return [*LIST[:position], value, *LIST[position + 1 :]]


def refused(response: httpx.Response) -> list[dict[str, str]]:
    """The findings of a 422."""
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["code"] == "invalid-request"
    errors: list[dict[str, str]] = document["errors"]
    assert all(error["at"] in document["detail"] and error["rule"] in document["detail"] for error in errors)
    return errors


def test_every_row_gets_the_estimators_probabilities_by_list_and_by_name(service: httpx.Client, made: Made) -> None:
    frame = made.training_set.frame
    expected = made.trained.model.predict_proba(made.training_set.features)
    rows = [list(map(float, row)) for row in frame[list(NAMES)].to_numpy()]
    bodies: dict[str, list[dict[str, Any]]] = {
        "list": [{"features": row} for row in rows],
        "name": [{"measurements": dict(zip(NAMES, row, strict=True))} for row in rows],
    }
    for each in bodies.values():
        with ThreadPoolExecutor(16) as pool:
            answers = [answer.json() for answer in pool.map(lambda body: ask(service, **body), each)]
        served = [[answer["probabilities"][name] for name in ("malignant", "benign")] for answer in answers]
        assert len(served) == 569
        np.testing.assert_allclose(served, expected, rtol=0, atol=1e-6)
        assert [answer["class_code"] for answer in answers] == [int(p >= 0.5) for p in expected[:, 1]]


def test_an_answer_has_class_probabilities_and_lineage(service: httpx.Client, made: Made, built: Bundle) -> None:
    response = ask(service, features=LIST)
    answer = response.json()
    assert (answer["class_name"], answer["class_code"], answer["threshold"]) == ("malignant", 0, 0.5)
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["model"] == {
        "name": "breast_cancer",
        "version": made.version.version,
        "run_id": made.version.run_id,
        "bento": built.bento_tag,
        "fingerprint": made.version.facts.fingerprint,
        "feature_service": None,
        "as_of": "1995-11-01T00:00:00Z",
        "git_commit": made.version.facts.code_version,
    }
    assert answer["flags"] == []
    assert answer["request_id"] == response.headers["x-request-id"]
    described = prediction_type(CANCER, RequestEvidence).model_validate_json(response.text)
    assert described.model_dump_json() == response.text


@pytest.mark.parametrize(
    ("body", "at", "rule"),
    [
        ({}, "body", "either features or measurements"),
        ({"features": LIST, "measurements": BY_NAME}, "body", "not both"),
        ({"features": None}, "body", "either features or measurements"),
        ({"features": LIST[:29]}, "body.features", "at least 30 items"),
        ({"features": [*LIST, 1.0]}, "body.features", "at most 30 items"),
        ({"features": []}, "body.features", "at least 30 items"),
        ({"features": BY_NAME}, "body.features", "valid list"),
        ({"features": "17.99"}, "body.features", "valid list"),
        ({"features": with_value(3, "1001.0")}, "body.features.3", "valid number"),
        ({"features": with_value(3, "large")}, "body.features.3", "valid number"),
        ({"features": with_value(3, True)}, "body.features.3", "valid number"),
        ({"features": with_value(3, None)}, "body.features.3", "valid number"),
        ({"features": with_value(3, [1001.0])}, "body.features.3", "valid number"),
        ({"features": with_value(3, -1.0)}, "body.features.3", "greater than or equal to 0"),
        ({"features": with_value(3, 10**400)}, "body.features.3", "number"),
        ({"features": [0] * 30}, "body", "Every measurement is zero"),
        ({"features": [0.0] * 30}, "body", "Every measurement is zero"),
        ({"features": LIST, "patient": "Ann"}, "body.patient", "not permitted"),
        ({"measurements": {}}, "body.measurements.mean radius", "required"),
        ({"measurements": LIST}, "body.measurements", "valid dictionary"),
        ({"measurements": dict.fromkeys(NAMES, 0)}, "body", "Every measurement is zero"),
        ({"measurements": BY_NAME | {"mean area": "1001"}}, "body.measurements.mean area", "valid number"),
        ({"measurements": BY_NAME | {"mean area": False}}, "body.measurements.mean area", "valid number"),
        ({"measurements": BY_NAME | {"mean area": -0.1}}, "body.measurements.mean area", "greater than or equal to 0"),
        ({"measurements": BY_NAME | {"mean volume": 1.0}}, "body.measurements.mean volume", "not permitted"),
        (
            {"measurements": {n.replace(" ", "_"): v for n, v in BY_NAME.items()}},
            "body.measurements.mean radius",
            "Field required",
        ),
    ],
)
def test_a_bad_body_is_a_422_that_names_the_field_and_the_rule(
    service: httpx.Client, body: dict[str, Any], at: str, rule: str
) -> None:
    errors = refused(ask(service, **body))
    assert any(error["at"] == at and rule in error["rule"] for error in errors), errors


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize("form", ["features", "measurements"])
def test_a_value_that_is_not_a_finite_number_is_refused(service: httpx.Client, constant: str, form: str) -> None:
    forms = {"features": with_value(3, "HERE"), "measurements": BY_NAME | {"mean area": "HERE"}}
    content = json.dumps({form: forms[form]}).replace('"HERE"', constant)
    (error,) = refused(service.post("/predict", content=content, headers=JSON))
    place = "body.features.3" if form == "features" else "body.measurements.mean area"
    assert error["at"] == (place if "e999" in constant else "body")
    assert constant in error["rule"] or "finite" in error["rule"] or "greater" in error["rule"]


@pytest.mark.parametrize("form", ["features", "measurements"])
def test_a_value_far_from_training_is_refused_with_its_distance_and_one_just_outside_is_flagged(
    service: httpx.Client, made: Made, form: str
) -> None:
    low, high = made.version.facts.ranges["mean area"]

    def area(value: float) -> httpx.Response:
        if form == "features":
            return ask(service, features=with_value(AREA, value))
        return ask(service, measurements=BY_NAME | {"mean area": value})

    assert area(high).json()["flags"] == []
    just = area(high + 0.5 * (high - low))
    assert just.status_code == 200
    assert just.json()["flags"] == [
        {
            "feature": "mean area",
            "verdict": "OUTSIDE",
            "value": pytest.approx(high + 0.5 * (high - low)),
            "trained_from": low,
            "trained_to": high,
            "ranges_away": pytest.approx(0.5),
        }
    ]
    assert area(high + 9.99 * (high - low)).status_code == 200
    (error,) = refused(area(high + 12 * (high - low)))
    assert error["at"] == ("body.features.3" if form == "features" else "body.measurements.mean area")
    assert "mean area must lie within 10 training ranges" in error["rule"]
    assert "12 ranges away" in error["rule"]


def test_a_huge_value_is_never_a_confident_benign(service: httpx.Client) -> None:
    for position in range(30):
        errors = refused(ask(service, features=with_value(position, 1e300)))
        assert [error["at"] for error in errors] == [f"body.features.{position}"]


def test_each_item_of_a_batch_equals_a_single_answer(service: httpx.Client, made: Made) -> None:
    low, high = made.version.facts.ranges["mean area"]
    instances: list[Any] = [
        {"features": LIST},
        {"measurements": BY_NAME},
        {"features": with_value(AREA, high + 0.5 * (high - low))},
        {"features": with_value(AREA, high + 12 * (high - low))},
        {"features": LIST, "measurements": BY_NAME},
        {"features": [0] * 30},
        {"features": LIST[:29]},
        *({"features": list(map(float, row))} for row in made.training_set.frame[list(NAMES)].to_numpy()),
    ]
    answers = service.post("/predict/batch", json={"instances": instances}).json()["predictions"]
    for instance, item in zip(instances[:50], answers, strict=False):
        answer = ask(service, **instance)
        alone = answer.json()
        assert item.pop("kept") == answer.headers["AsOf-Kept"] == "none"
        if answer.status_code == 200:
            assert alone | {"probabilities": pytest.approx(alone["probabilities"], abs=1e-12)} == item | {
                name: alone[name] for name in ("model", "request_id")
            }
        else:
            assert alone | item["problem"] == alone
            assert item["problem"].keys() >= {"code", "status", "detail", "errors"}
    expected = made.trained.model.predict_proba(made.training_set.features)[:, 1]
    served = [item["probabilities"]["benign"] for item in answers[7:]]
    np.testing.assert_allclose(served, expected, rtol=0, atol=1e-6)


def test_a_batch_of_lists_and_names_is_answered_in_arrow(service: httpx.Client) -> None:
    import pyarrow as pa

    body = {"instances": [{"features": LIST}, {"measurements": BY_NAME}]}
    answer = service.post("/predict/batch", json=body, headers={"Accept": "application/vnd.apache.arrow.stream"})
    with pa.ipc.open_stream(answer.content) as reader:
        found = reader.read_all().to_pylist()
    one = ask(service, features=LIST).json()
    assert [row["probabilities"] for row in found] == [pytest.approx(one["probabilities"], abs=1e-12)] * 2
    assert [row["class_name"] for row in found] == [one["class_name"]] * 2
    assert [row["code"] for row in found] == [None] * 2


def test_zero_is_a_valid_measurement_of_some_features(service: httpx.Client) -> None:
    assert ask(service, features=with_value(CONCAVITY, 0)).status_code == 200


def test_the_model_page_has_lineage_and_ranges(service: httpx.Client, made: Made) -> None:
    model = service.get("/model").json()
    assert (model["use_case"], model["estimator"], model["feature_service"]) == ("breast_cancer", "default", None)
    assert model["derived"] == ["mean radius x mean texture"]
    assert model["runtime"] == "onnx"
    assert {name: tuple(ends) for name, ends in model["ranges"].items()} == made.version.facts.ranges
    assert [feature["name"] for feature in model["contract"]["features"]] == list(NAMES)


def test_it_is_ready_without_a_feature_store(service: httpx.Client) -> None:
    health = service.get("/health").json()
    assert health["status"] == "ok"
    assert health["feature_store"] == "not used: the features come in the request"
    assert service.get("/features/wdbc-001").status_code == 404


def test_the_description_is_that_of_the_use_case(service: httpx.Client) -> None:
    description = service.get("/docs.json").json()
    assert {"/predict", "/model", "/health"} <= set(description["paths"])
    assert not any(path.startswith("/features") for path in description["paths"])
    predict = description["paths"]["/predict"]["post"]
    assert described_problems(predict) == OF_EVERY_PREDICTION | OF_ONE_PREDICTION
    schemas = description["components"]["schemas"]
    features = schemas["BreastCancerRequest"]["properties"]["features"]["anyOf"][0]
    assert (features["minItems"], features["maxItems"]) == (30, 30)
    assert list(schemas["Measurements"]["properties"]) == list(NAMES)
    assert set(schemas["Probabilities"]["properties"]) == {"malignant", "benign"}
    shown = predict["responses"]["200"]["content"]["application/json"]
    answer = schemas[shown["schema"]["$ref"].rpartition("/")[2]]["properties"]
    assert set(shown["example"]) == set(answer)
    assert answer["class_name"]["enum"] == ["malignant", "benign"]


def test_the_example_of_the_description_is_answered_as_it_shows(service: httpx.Client) -> None:
    description = service.get("/docs.json").json()
    (example,) = description["components"]["schemas"]["BreastCancerRequest"]["examples"]
    success = description["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["example"]
    assert ask(service, **example).json()["class_name"] == success["class_name"]


def test_the_bento_contains_the_model_and_no_other_data(built: Bundle) -> None:
    bento = bentoml.get(built.bento_tag)
    assert bento.info.args.items() >= {"use_case": "breast_cancer", "model": built.model_tag}.items()
    assert [str(model.tag) for model in bento.info.all_models] == [built.model_tag]
    assert "feature_service" not in bentoml.models.get(built.model_tag).info.metadata


def test_bentoml_build_takes_use_case_and_model_as_arguments(built: Bundle) -> None:
    words = ("build", "--arg", "use_case=breast_cancer", "--arg", f"model={built.model_tag}", "--version", "by-hand")
    done = subprocess.run([sys.executable, "-m", "bentoml", *words], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    by_hand = bentoml.get("breast_cancer:by-hand")
    assert by_hand.info.args == {"use_case": "breast_cancer", "model": built.model_tag}
    assert by_hand.info.service == "service:service"


def test_each_use_case_is_promoted_bundled_and_rolled_back_separately(
    settings: Settings, small_model: SmallModel, made: Made, built: Bundle, service: httpx.Client, tmp_path: Path
) -> None:
    """A second version of breast cancer, beside the first one and churn's."""
    churn = model_version(settings, load("churn"), str(small_model.bundle.version))
    promote(settings, churn, judge=always)
    second = register(settings, evaluate(settings, train(settings, CANCER, made.training_set, random_state=7)))
    promote(settings, second, judge=always)
    with kit.serving(settings, bundle(settings, CANCER).bento_tag, tmp_path) as beside:
        served = [client.get("/model").json()["version"] for client in (beside, service)]
        assert served == [second.version, made.version.version]
        assert beside.post("/predict", json={"user_id": "good"}).status_code == 422
    assert rollback(settings, CANCER, reason="a test").version == made.version.version
    assert bundle(settings, CANCER).bento_tag == built.bento_tag
    client = open_tracking(settings)
    assert production_number(client, CANCER.model_name) == made.version.version
    assert production_number(client, kit.NAME) == churn.version


NUMBERS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-(10**6), 10**6),
    st.integers(-(10**320), 10**320),
    st.floats(0, 5000, allow_subnormal=True),
)
LEAVES = st.one_of(NUMBERS, st.none(), st.booleans(), st.text(max_size=8))
LISTS = st.one_of(
    st.lists(LEAVES, max_size=40),
    st.lists(NUMBERS, min_size=30, max_size=30),
    st.tuples(st.integers(0, 29), LEAVES).map(lambda change: with_value(*change)),
)
NAMED = st.one_of(
    st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=8)), LEAVES, max_size=32),
    st.tuples(st.sampled_from(NAMES), LEAVES).map(lambda change: BY_NAME | dict([change])),
    st.fixed_dictionaries(dict.fromkeys(NAMES, st.floats(0, 5000))),
)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=4), inner), max_leaves=20),
    LISTS.map(lambda values: {"features": values}),
    NAMED.map(lambda values: {"measurements": values}),
    st.fixed_dictionaries({}, optional={"features": LISTS, "measurements": NAMED, "else": LEAVES}),
)


@pytest.mark.parametrize("bodies", [200, pytest.param(2000, marks=pytest.mark.soak)])
def test_random_bodies_cause_no_internal_error(service: httpx.Client, bodies: int) -> None:
    seen: set[int] = set()

    @hypothesis_settings(
        max_examples=bodies, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(BODIES)
    def send(body: Any) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = service.post("/predict", content=content, headers=JSON)
        assert response.status_code in (200, 422), (content, response.text)
        if response.status_code == 200:
            check(response.json())
        seen.add(response.status_code)

    send()
    assert seen == {200, 422}


def check(answer: dict[str, Any]) -> None:
    """Checks an answer's members, and that its flags are those of values up to ten ranges outside."""
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert all(0 < flag["ranges_away"] <= 10 for flag in answer["flags"])
