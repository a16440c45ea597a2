"""MLflow's scoring protocol of the built Bento over a socket, by mlflow's own client too."""

import copy
import importlib.metadata
import json
import random
import warnings
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from asof.serving.protocols.mlflow_scoring import FORMATS
from tests.kits.service.answers import problem_at
from tests.kits.service.churn_service import MANY, ChurnService
from tests.kits.service.protocols import CONTRACT, VALUES, random_bodies

JSON, CSV = {"Content-Type": "application/json"}, {"Content-Type": "text/csv"}
BODIES: dict[str, Any] = {
    "split": lambda users: {"dataframe_split": {"columns": ["user_id"], "data": [[user] for user in users]}},
    "indexed": lambda users: {
        "dataframe_split": {"columns": ["user_id"], "index": [*range(len(users))], "data": [[user] for user in users]}
    },
    "records": lambda users: {"dataframe_records": [{"user_id": user} for user in users]},
    "objects": lambda users: {"instances": [{"user_id": user} for user in users]},
    "lists": lambda users: {"instances": [[user] for user in users]},
    "values": lambda users: {"instances": list(users)},
    "columns": lambda users: {"inputs": {"user_id": list(users)}},
    "inputs": lambda users: {"inputs": list(users), "params": {}},
}


@pytest.fixture(scope="module")
def service(churn_service: ChurnService) -> httpx.Client:
    return churn_service.client


@pytest.fixture(scope="module")
def mlflow_client(service: httpx.Client) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of mlflow's own type hints
        from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    return ScoringServerClient(service.base_url.host, service.base_url.port)


def invoke(service: httpx.Client, users: Sequence[Any], form: str = "split") -> httpx.Response:
    return service.post("/invocations", content=json.dumps(BODIES[form](users)), headers=JSON)


def predictions(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["predictions"]
    return found


def batch(service: httpx.Client, users: Sequence[Any]) -> httpx.Response:
    body = json.dumps({"instances": [{"user_id": user} for user in users]})
    return service.post("/predict/batch", content=body, headers=JSON)


def test_mlflows_own_client_scores_a_data_frame(service: httpx.Client, mlflow_client: Any) -> None:
    users = ["good", "nobody", *MANY]
    mlflow_client.wait_server_ready(timeout=30)
    frame = mlflow_client.invoke(pd.DataFrame({"user_id": users})).get_predictions()
    expected = batch(service, users).json()["predictions"]
    assert frame["probability"].tolist() == pytest.approx(
        [each.get("probability", np.nan) for each in expected], nan_ok=True
    )
    assert frame["problem"].map(lambda each: each["code"], na_action="ignore").tolist()[1] == "entity-not-found"
    assert frame["user_id"].tolist()[2:] == users[2:]


def test_mlflows_own_client_scores_an_array_and_reads_the_version(mlflow_client: Any) -> None:
    answer = mlflow_client.invoke(np.array([["good"], ["no-internet"]]))
    assert answer.get_predictions()["user_id"].tolist() == ["good", "no-internet"]
    assert mlflow_client.get_version() == importlib.metadata.version("mlflow")


def test_mlflows_own_client_shows_the_problem_of_a_single_row(mlflow_client: Any) -> None:
    with pytest.raises(Exception, match=r"Invocation failed \(error code 404.*entity-not-found"):
        mlflow_client.invoke(pd.DataFrame({"user_id": ["nobody"]}))


@pytest.mark.parametrize("user", CONTRACT, ids=lambda user: ascii(user)[:20])
def test_one_row_has_the_answer_or_the_problem_of_predict(service: httpx.Client, user: str) -> None:
    ours = invoke(service, [user])
    theirs = service.post("/predict", content=json.dumps({"user_id": user}), headers=JSON)
    assert (ours.status_code, ours.headers["AsOf-Kept"]) == (theirs.status_code, "process")
    expected = theirs.json()
    if theirs.status_code == 200:
        model = expected.pop("model")
        del expected["request_id"]
        assert predictions(ours) == [expected | {"kept": "process"}]
        assert ours.json()["model"] == model
        return
    document = problem_at(ours, theirs.status_code, expected["code"])
    assert document | {"instance": "", "request_id": ""} == expected | {"instance": "", "request_id": ""}
    assert ours.headers.get("retry-after") == theirs.headers.get("retry-after")


@pytest.mark.parametrize("form", BODIES)
def test_each_form_of_json_gives_the_items_of_a_batch(service: httpx.Client, form: str) -> None:
    users = [user for user in CONTRACT if user] + list(MANY)[:1100]
    ours, theirs = invoke(service, users, form).json(), batch(service, users).json()
    assert ours["predictions"] == theirs["predictions"]
    assert ours["model"] == theirs["model"]


def test_rows_in_csv_are_read_as_pandas_writes_them(service: httpx.Client) -> None:
    users = ["good", "nobody", "Doe, J", '"', "José-1", "7" * 65, "'"]
    table = pd.DataFrame({"user_id": users}).to_csv(index=False)
    for body in (table.encode(), table.encode("utf-8-sig"), table.replace("\n", "\r\n").encode()):
        answer = service.post("/invocations", content=body, headers=CSV | {"Accept": "*/*"})
        assert predictions(answer) == batch(service, users).json()["predictions"]


@pytest.mark.parametrize(
    ("body", "at", "rule"),
    [
        (b"", "body", "Field required"),
        (b"{}", "body", "Give exactly one of dataframe_split, dataframe_records, instances, inputs"),
        (b'{"instances": ["a"], "inputs": ["a"]}', "body", "Give exactly one of"),
        (b'{"instances": []}', "body", "there are no rows"),
        (b'{"inputs": {}}', "body.user_id", "Field required"),
        (b'{"inputs": {"user_id": ["a", "b"], "x": ["a"]}}', "body.inputs", "the same length"),
        (b'{"instances": ["a"], "params": {"x": 1}}', "body.params", "at most 0 items"),
        (b'{"dataframe_split": {"columns": ["user"], "data": [["a"]]}}', "body.user", "Extra inputs are not permitted"),
        (
            b'{"dataframe_split": {"columns": ["user_id", "user_id"], "data": [["a", "b"]]}}',
            "body.dataframe_split.data",
            "twice",
        ),
        (
            b'{"dataframe_split": {"columns": ["user_id"], "data": [["a"], []]}}',
            "body.dataframe_split.data.1",
            "must have 1 values",
        ),
        (b'{"dataframe_split": {"columns": ["user_id"], "data": [[NaN]]}}', "body", "NaN is not JSON"),
        (b'[{"user_id": "good"}]', "body", "valid dictionary"),
        (b'{"instances": [["a", "b"]]}', "body", "valid dictionary"),
    ],
)
def test_what_is_in_no_form_is_refused_as_a_whole(service: httpx.Client, body: bytes, at: str, rule: str) -> None:
    document = problem_at(service.post("/invocations", content=body, headers=JSON), 422, "invalid-request")
    assert any(each["at"] == at and rule in each["rule"] for each in document["errors"]), document["errors"]


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (b"", "body.csv"),
        (b"user_id\n", "body"),
        (b"user\ngood\n", "body.user"),
        (b'user_id\n"good\n', "body.csv"),
        (b"user_id\ngood,bad\n", "body.csv.0"),
        (b"user_id\n\xff\n", "body.csv"),
    ],
)
def test_csv_that_is_no_table_is_refused_as_a_whole(service: httpx.Client, body: bytes, at: str) -> None:
    document = problem_at(service.post("/invocations", content=body, headers=CSV), 422, "invalid-request")
    assert at in {each["at"] for each in document["errors"]}


@pytest.mark.parametrize("kind", ["application/vnd.apache.parquet", "text/plain", None])
def test_only_json_and_csv_are_accepted(service: httpx.Client, kind: str | None) -> None:
    answer = service.post("/invocations", content=b"user_id\ngood\n", headers={"Content-Type": kind} if kind else {})
    detail = problem_at(answer, 415, "unsupported-media-type")["detail"]
    assert "as Content-Type: application/json or text/csv," in detail


def test_more_rows_than_a_batch_may_have_are_refused(service: httpx.Client) -> None:
    assert len(predictions(invoke(service, ["good"] * 10_000))) == 10_000
    document = problem_at(invoke(service, ["good"] * 10_001), 413, "too-many-instances")
    assert (document["limit"], document["instances"]) == (10_000, 10_001)


def test_two_thousand_random_bodies_never_cause_an_internal_error(service: httpx.Client) -> None:
    statuses = set()
    for number, body in enumerate(random_bodies(_drawn, 2000, seed=12)):
        headers = CSV if number % 4 == 0 else JSON
        statuses.add(service.post("/invocations", content=body, headers=headers).status_code)
    assert 200 in statuses
    assert statuses <= {200, 404, 413, 415, 422, 503}


def _drawn(chance: random.Random) -> Any:
    """A request, up to two members of which are replaced or added."""
    users = chance.choices(["good", "nobody", "null-fee", "old-usage", "José-1"], k=chance.choice([1, 1, 2, 3]))
    request: dict[str, Any] = chance.choice([*BODIES.values()])(users)
    for _ in range(chance.randrange(3)):
        inner = [each for each in request.values() if isinstance(each, dict)]
        place = chance.choice([request, *inner])
        place[chance.choice([*place, *FORMATS, "params", "more"])] = copy.deepcopy(chance.choice(VALUES))
    return request
