"""The Open Inference Protocol of the built Bento over a socket: answers and problems of POST /predict, in tensors."""

import copy
import json
import random
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import httpx
import pytest

from tests.kits.service import open_inference
from tests.kits.service import serving as kit
from tests.kits.service.answers import problem_at
from tests.kits.service.churn_service import MANY, ChurnService
from tests.kits.service.protocols import CONTRACT, VALUES, random_bodies

INFER = f"/v2/models/{kit.NAME}/infer"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def service(churn_service: ChurnService) -> httpx.Client:
    return churn_service.client


def tensor(users: Sequence[Any], **changed: Any) -> dict[str, Any]:
    return {"name": "user_id", "datatype": "BYTES", "shape": [len(users)], "data": list(users), **changed}


def infer(service: httpx.Client, *users: Any, path: str = INFER, **members: Any) -> httpx.Response:
    request = {"inputs": [tensor(users)], **members}
    open_inference.check("inference_request", request)
    return service.post(path, content=json.dumps(request), headers=JSON)


def columns(response: httpx.Response) -> dict[str, list[Any]]:
    """The data of each output, of a response that the published schema allows."""
    assert response.status_code == 200, response.text
    document = response.json()
    open_inference.check("inference_response", document)
    for output in document["outputs"]:
        assert len(output["data"]) == prod(output["shape"])
    return {output["name"]: output["data"] for output in document["outputs"]}


def predicted(service: httpx.Client, user: str) -> httpx.Response:
    return service.post("/predict", content=json.dumps({"user_id": user}), headers=JSON)


@pytest.mark.parametrize("user", CONTRACT, ids=lambda user: ascii(user)[:20])
def test_one_row_has_the_answer_or_the_problem_of_predict(service: httpx.Client, user: str) -> None:
    ours, theirs = infer(service, user), predicted(service, user)
    assert ours.status_code == theirs.status_code
    assert ours.headers["AsOf-Kept"] == theirs.headers["AsOf-Kept"] == "process"
    expected = theirs.json()
    if theirs.status_code == 200:
        data = columns(ours)
        assert data["probability"] == [expected["probability"]]
        assert data["label"] == ["leaves" if expected["churn"] else "stays"]
        assert json.loads(data["evidence"][0]) == {
            **{name: expected[name] for name in ("as_of", "as_of_features", "flags") if name in expected},
            "kept": "process",
        }
        assert data["problem"] == [""]
        return
    document = problem_at(ours, theirs.status_code, expected["code"])
    open_inference.check("error_response", document)
    assert document.pop("error") == document["detail"]
    of_request = {"instance", "request_id"}
    assert {name: each for name, each in document.items() if name not in of_request} == {
        name: each for name, each in expected.items() if name not in of_request
    }
    assert ours.headers.get("retry-after") == theirs.headers.get("retry-after")


def test_of_several_rows_each_has_its_answer_or_its_problem(service: httpx.Client) -> None:
    users = [*CONTRACT, *list(MANY)[:1100], *CONTRACT]
    data = columns(infer(service, *users))
    items = service.post(
        "/predict/batch", content=json.dumps({"instances": [{"user_id": user} for user in users]}), headers=JSON
    ).json()["predictions"]
    assert [len(column) for column in data.values()] == [len(users)] * 4
    for item, probability, label, evidence, problem in zip(
        items, data["probability"], data["label"], data["evidence"], data["problem"], strict=True
    ):
        assert json.loads(evidence)["kept"] == "process"
        if "problem" in item:
            assert (probability, label, json.loads(problem)) == ("NaN", "", item["problem"])
        else:
            assert (probability, problem) == (item["probability"], "")
            assert label == ("leaves" if item["churn"] else "stays")
            assert json.loads(evidence)["flags"] == item["flags"]
            assert json.loads(evidence)["as_of"] == item["as_of"]


def test_a_response_names_the_model_and_the_request(service: httpx.Client, churn_service: ChurnService) -> None:
    document = infer(service, "good", id="mine", model_name=kit.NAME).json()
    model = predicted(service, "good").json()["model"]
    assert (document["model_name"], document["model_version"]) == (kit.NAME, model["version"])
    assert document["id"] == "mine"
    assert document["parameters"] == {name: each for name, each in model.items() if name not in ("name", "version")}
    response = infer(service, "good")
    assert response.json()["id"] == response.headers["x-request-id"]


def test_requested_outputs_are_returned_in_their_order(service: httpx.Client) -> None:
    asked = infer(service, "good", "nobody", outputs=[{"name": "problem"}, {"name": "probability"}])
    assert list(columns(asked)) == ["problem", "probability"]
    document = problem_at(infer(service, "good", outputs=[{"name": "logits"}]), 422, "invalid-request")
    assert "no output 'logits', but probability, label, evidence, problem" in document["detail"]


def test_the_served_version_answers_and_another_is_a_404_that_names_it(service: httpx.Client) -> None:
    version = service.get("/model").json()["version"]
    served = f"/v2/models/{kit.NAME}/versions/{version}"
    assert columns(infer(service, "good", path=f"{served}/infer")) == columns(infer(service, "good"))
    for path in (f"/v2/models/{kit.NAME}/versions/77", "/v2/models/other", f"/v2/models/other/versions/{version}"):
        for answer in (infer(service, "good", path=f"{path}/infer"), service.get(path), service.get(f"{path}/ready")):
            document = problem_at(answer, 404, "model-not-found")
            assert f"version {version}" in document["detail"] or repr(kit.NAME) in document["detail"]
            open_inference.check("error_response", document)
            assert document["error"] == document["detail"]
    assert service.get(served).json() == service.get(f"/v2/models/{kit.NAME}").json()


def test_server_and_model_describe_themselves(service: httpx.Client) -> None:
    server = service.get("/v2").json()
    open_inference.check("metadata_server_response", server)
    assert (server["name"], server["extensions"]) == ("asof", [])
    model = service.get(f"/v2/models/{kit.NAME}").json()
    open_inference.check("metadata_model_response", model)
    assert (model["name"], model["platform"]) == (kit.NAME, "onnx")
    assert model["inputs"] == [{"name": "user_id", "datatype": "BYTES", "shape": [-1]}]
    described = [(each["name"], each["datatype"], each["shape"]) for each in model["outputs"]]
    texts = [(name, "BYTES", [-1]) for name in ("label", "evidence", "problem")]
    assert described == [("probability", "FP64", [-1]), *texts]
    assert service.get("/v2/").json() == server
    assert service.get("/v2/health/live").json() == {"live": True}
    assert service.get("/v2/health/ready").json() == {"ready": True}
    assert service.get(f"/v2/models/{kit.NAME}/ready").json() == {"ready": True, "name": kit.NAME}


@pytest.mark.parametrize(
    ("shape", "data"),
    [([2], ["good", "nobody"]), ([2, 1], ["good", "nobody"]), ([2, 1], [["good"], ["nobody"]])],
    ids=["flat", "column", "nested"],
)
def test_a_column_may_have_one_or_two_dimensions(service: httpx.Client, shape: list[int], data: list[Any]) -> None:
    body = {"inputs": [tensor([], shape=shape, data=data)]}
    assert columns(service.post(INFER, json=body))["problem"][0] == ""


@pytest.mark.parametrize(
    ("inputs", "at", "rule"),
    [
        ([], "body.inputs", "at least 1 item"),
        ([tensor(["good"], name="user")], "body.user", "Extra inputs are not permitted"),
        ([tensor(["good"], name="user")], "body.user_id", "Field required"),
        ([tensor(["good"]), tensor(["good"])], "body.inputs", "a tensor occurs twice"),
        ([tensor(["good"], shape=[2])], "body.inputs.user_id", "there are 1 elements, and the shape has 2"),
        ([tensor(["good"], shape=[1, 2])], "body.inputs.user_id", "the shape must be [rows] or [rows, 1]"),
        ([tensor(["good"], shape=[0])], "body.inputs.0.shape.0", "greater than or equal to 1"),
        ([tensor(["good"], shape=["1"])], "body.inputs.0.shape.0", "valid integer"),
        ([tensor(["good"], datatype="TEXT")], "body.inputs.user_id", "datatype 'TEXT' is none of BOOL, BYTES"),
        ([tensor(["good", 7])], "body.inputs.user_id", "element 1 is no BYTES"),
        ([tensor([True], datatype="INT64")], "body.inputs.user_id", "element 0 is no INT64"),
        ([tensor([["good"], "nobody"])], "body.inputs.user_id", "the lists in the data must have the same length"),
        ([tensor(["good"], data=None)], "body.inputs", "a tensor has no data"),
        ([tensor([7], datatype="INT64")], "body.user_id", "valid string"),
    ],
)
def test_tensors_that_are_no_request_are_refused_as_a_whole(
    service: httpx.Client, inputs: Sequence[Mapping[str, Any]], at: str, rule: str
) -> None:
    errors = problem_at(service.post(INFER, json={"inputs": inputs}), 422, "invalid-request")["errors"]
    assert any(each["at"] == at and rule in each["rule"] for each in errors), errors


def test_binary_data_is_refused_with_the_way_out(service: httpx.Client) -> None:
    binary = {"Inference-Header-Content-Length": "7", "Content-Type": "application/octet-stream"}
    answers = [
        service.post(INFER, content=b"{}\x04\x00\x00\x00good", headers=binary),
        service.post(INFER, json={"inputs": [tensor([], data=None, shape=[1], parameters={"binary_data_size": 8})]}),
    ]
    for answer in answers:
        assert "binary_data=False" in problem_at(answer, 415, "unsupported-media-type")["detail"]


def test_more_rows_than_a_batch_may_have_are_refused(service: httpx.Client) -> None:
    assert len(columns(infer(service, *(["good"] * 10_000)))["problem"]) == 10_000
    document = problem_at(infer(service, *(["good"] * 10_001)), 413, "too-many-instances")
    assert (document["limit"], document["instances"]) == (10_000, 10_001)


def test_each_door_is_counted_under_a_label_of_its_own(service: httpx.Client) -> None:
    infer(service, "good")
    infer(service, "good", path="/v2/models/any/versions/thing/infer")
    service.get("/v2/models/any")
    text = service.get("/metrics").text
    labels = {line.partition('endpoint="')[2].partition('"')[0] for line in text.splitlines() if "endpoint=" in line}
    assert {"/v2/models/.../infer", "/v2/models/..."} <= labels
    assert not any("any" in label for label in labels)


def test_a_traced_request_is_answered_as_any_other(service: httpx.Client) -> None:
    headers = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    traced = service.post(INFER, json={"inputs": [tensor(["good"])]}, headers=headers)
    assert columns(traced) == columns(infer(service, "good"))


def test_two_thousand_random_bodies_never_cause_an_internal_error(service: httpx.Client) -> None:
    bodies = random_bodies(_drawn, 2000, seed=11)
    statuses = {service.post(INFER, content=body, headers=JSON).status_code for body in bodies}
    assert 200 in statuses
    assert statuses <= {200, 404, 413, 415, 422, 503}


def _drawn(chance: random.Random) -> Any:
    """A request, up to two members of which are replaced or added."""
    users = chance.choices(["good", "nobody", "null-fee", "old-usage", "José-1"], k=chance.choice([1, 1, 2, 3]))
    first = tensor(users)
    request: dict[str, Any] = {"inputs": [first], "id": "x", "outputs": [{"name": "probability"}]}
    for _ in range(chance.randrange(3)):
        place = chance.choice([request, first])
        place[chance.choice([*place, "parameters", "more"])] = copy.deepcopy(chance.choice(VALUES))
    return request
