"""POST /predict/batch of the built Bento over a socket: each item equals the answer of POST /predict."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from asof.errors import DataError
from asof.serving.batch.description import answers_type
from asof.serving.features.evidence import StoreEvidence
from asof.use_cases import load
from tests.kits.service import following as follow_kit
from tests.kits.service import serving as kit
from tests.kits.service.answers import OF_EVERY_PREDICTION, OF_THE_STORE, described_problems, problem_at
from tests.kits.service.churn_service import MANY, ChurnService
from training.audit.lineage.answers import find_answers

ARROW = "application/vnd.apache.arrow.stream"
COMMON = {"model", "request_id"}
MIXED: list[Any] = [
    *({"user_id": user} for user in ("good", "nobody", "no-internet", "null-fee", "only-users", "old-support")),
    *({"user_id": user} for user in ("old-usage", "coming-payments", "coming-usage", "good", "~" * 500, "a b")),
    *({"user_id": value} for value in (None, 123, True, ["good"], "", "a ", "\x00", "\ud800", "x" * 501, 1e308)),
    *({"user_id": "good", "monthly_fee": 1.0}, {}, [], None, "good", 7, {"user": "good"}, [{"user_id": "good"}]),
]


@pytest.fixture(scope="module")
def service(churn_service: ChurnService) -> httpx.Client:
    return churn_service.client


def batch(service: httpx.Client, instances: list[Any], **headers: str) -> httpx.Response:
    return service.post("/predict/batch", content=_json({"instances": instances}), headers=JSON | headers)


JSON = {"Content-Type": "application/json"}


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


def alone(service: httpx.Client, instance: Any) -> dict[str, Any]:
    """The answer of POST /predict in the form of an item of a batch."""
    answer = service.post("/predict", content=_json(instance), headers=JSON)
    document: dict[str, Any] = answer.json()
    if answer.status_code == 200:
        return {name: value for name, value in document.items() if name not in COMMON}
    return {
        "problem": {
            name: value for name, value in document.items() if name not in ("type", "title", "instance", "request_id")
        }
    }


def test_each_item_equals_the_answer_to_a_single_request(service: httpx.Client) -> None:
    instances = [*MIXED, *({"user_id": user} for user in MANY), *MIXED]
    answer = batch(service, instances)
    assert answer.status_code == 200
    predictions = answer.json()["predictions"]
    expected = [alone(service, each) for each in (*MIXED, *({"user_id": user} for user in MANY))]
    for got, one in zip(predictions, [*expected, *expected[: len(MIXED)]], strict=True):
        assert got.pop("kept") == "process"
        if "problem" not in one:
            one["probability"] = pytest.approx(one["probability"], abs=1e-12)
        assert got == one
        assert list(got) == list(one)
    assert {each["problem"]["code"] for each in predictions if "problem" in each} == {
        "entity-not-found",
        "missing-features",
        "stale-features",
        "invalid-request",
    }


def test_common_members_appear_once_and_the_answer_matches_its_description(service: httpx.Client) -> None:
    one = service.post("/predict", json={"user_id": "good"}, headers={"X-Request-ID": "many-1"}).json()
    answer = batch(service, [{"user_id": "good"}, {"user_id": "old-support"}, {}], **{"X-Request-ID": "many-1"})
    document = answer.json()
    assert list(document) == ["model", "request_id", "predictions"]
    assert {name: document[name] for name in COMMON} == {name: one[name] for name in COMMON}
    assert answer.headers["x-request-id"] == "many-1"
    assert answer.headers["content-type"] == "application/json"
    described = answers_type(load("churn"), StoreEvidence).model_validate_json(answer.text)
    assert json.loads(described.model_dump_json(exclude_unset=True)) == document


def rows(answer: httpx.Response) -> tuple[list[dict[str, Any]], dict[bytes, bytes]]:
    """The rows of an answer in Arrow, and its metadata."""
    assert answer.headers["content-type"] == ARROW
    with pa.ipc.open_stream(answer.content) as reader:
        table = reader.read_all()
    return table.to_pylist(), dict(table.schema.metadata)


def test_an_arrow_answer_equals_the_json_answer(service: httpx.Client) -> None:
    instances = [*MIXED, *({"user_id": user} for user in MANY)]
    document = batch(service, instances, **{"X-Request-ID": "many-2"}).json()
    found, metadata = rows(batch(service, instances, Accept=ARROW, **{"X-Request-ID": "many-2"}))
    assert json.loads(metadata[b"asof.model"]) == document["model"]
    assert metadata[b"asof.request_id"] == b"many-2"
    for row, item in zip(found, document["predictions"], strict=True):
        problem = item.get("problem", {})
        for name in ("code", "status", "detail"):
            assert row[name] == problem.get(name)
        rest = {name: value for name, value in problem.items() if name not in ("code", "status", "detail")}
        assert json.loads(row["problem"] or "{}") == rest
        assert row["model"] is None
        for name in ("user_id", "probability", "churn", "threshold"):
            assert row[name] == item.get(name)
        assert [_given(flag) for flag in row["flags"] or ()] == [_given(flag) for flag in item.get("flags", ())]
        moments = {view: moment.isoformat().replace("+00:00", "Z") for view, moment in (row["as_of"] or {}).items()}
        assert moments == item.get("as_of", {})


def _given(flag: dict[str, Any]) -> dict[str, Any]:
    """In Arrow all flags have the members of each kind."""
    return {name: value for name, value in flag.items() if value is not None}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        (f"{ARROW};q=0", "application/json"),
        (f"application/json, {ARROW};q=0.9", "application/json"),
        (ARROW, ARROW),
        (f"application/json;q=0.5, {ARROW.upper()}", ARROW),
        (f"{ARROW};q=x", "application/json"),
    ],
)
def test_arrow_is_sent_where_it_is_preferred_by_name(service: httpx.Client, accept: str, kind: str) -> None:
    assert batch(service, [{"user_id": "good"}], Accept=accept).headers["content-type"] == kind


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (b"", "body"),
        (b"not json", "body"),
        (b'[{"user_id": "good"}]', "body"),
        (b"{}", "body.instances"),
        (b'{"instances": []}', "body.instances"),
        (b'{"instances": {}}', "body.instances"),
        (b'{"instances": "good"}', "body.instances"),
        (b'{"instances": null}', "body.instances"),
        (b'{"instances": [{"user_id": "good"}], "more": 1}', "body.more"),
        (b'{"instances": [{"user_id": "good"}], "instances": []}', "body"),
        (b'{"instances": [{"user_id": NaN}]}', "body"),
        (b'{"instances": [{"user_id": "good"}', "body"),
        (b'{"instances": ' + b"[" * 60_000, "body"),
        (b'{"instances": [{"user_id": "\xff"}]}', "body"),
    ],
)
def test_an_invalid_batch_is_a_422_that_names_the_place(service: httpx.Client, body: bytes, at: str) -> None:
    document = problem_at(service.post("/predict/batch", content=body, headers=JSON), 422, "invalid-request")
    assert at in {error["at"] for error in document["errors"]}


def test_ten_thousand_instances_are_accepted_and_one_more_is_refused(service: httpx.Client) -> None:
    users = [{"user_id": user} for user in MANY] * 9
    most = batch(service, users[:10_000])
    assert most.status_code == 200
    assert [each["user_id"] for each in most.json()["predictions"]] == [each["user_id"] for each in users[:10_000]]
    document = problem_at(batch(service, users[:10_001]), 413, "too-many-instances")
    assert (document["limit"], document["instances"]) == (10_000, 10_001)
    assert "10001" in document["detail"]
    assert "10000" in document["detail"]


def test_a_body_beyond_the_limit_is_refused_with_or_without_content_length(service: httpx.Client) -> None:
    pieces = [b'{"instances": ["', *[b"x" * 2**20] * 17, b'"]}']
    for body in (iter(pieces), b"".join(pieces)):
        document = problem_at(service.post("/predict/batch", content=body, headers=JSON), 413, "body-too-large")
        assert str(16 * 2**20) in document["detail"]


@pytest.mark.parametrize("kind", ["text/plain", ARROW, None])
def test_only_json_is_accepted(service: httpx.Client, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    response = service.post("/predict/batch", content=_json({"instances": [{"user_id": "good"}]}), headers=headers)
    assert "as Content-Type: application/json," in problem_at(response, 415, "unsupported-media-type")["detail"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_wrong_method_is_a_problem_too(service: httpx.Client, method: str) -> None:
    problem_at(service.request(method, "/predict/batch"), 405, "method-not-allowed")


def test_a_traced_batch_is_answered_as_any_other(service: httpx.Client) -> None:
    traced = batch(service, [{"user_id": "good"}, {}], traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    assert traced.json()["predictions"] == batch(service, [{"user_id": "good"}, {}]).json()["predictions"]


def test_every_instance_is_counted_and_kept_with_its_position(
    service: httpx.Client, churn_service: ChurnService
) -> None:
    names = [f'asof_batch_users_total{{code="{code}"}}' for code in ("ok", "entity-not-found", "invalid-request")]
    names += ['asof_batches_total{code="ok"}', 'asof_batches_total{code="invalid-request"}']
    before = [follow_kit.metric(service, name) for name in names]
    instances = [{"user_id": "good"}, {"user_id": "nobody"}, {}, {"user_id": "old-support"}]
    batch(service, instances, **{"X-Request-ID": "many-3"})
    batch(service, [], **{"X-Request-ID": "many-4"})
    after = [follow_kit.metric(service, name) for name in names]
    assert [new - old for new, old in zip(after, before, strict=True)] == [2, 1, 1, 1, 1]

    (empty,) = find_answers(churn_service.settings, load("churn"), "many-4")
    assert (empty.request_id, empty.status, empty.code) == ("many-4", 422, "invalid-request")
    kept = [find_answers(churn_service.settings, load("churn"), f"many-3:{place}")[0] for place in range(4)]
    assert [each.status for each in kept] == [200, 404, 422, 200]
    assert [each.entity for each in kept] == ["good", "nobody", None, "old-support"]
    assert kept[3].flags == ("support_tickets_90d",)
    assert kept[1].code == "entity-not-found"
    with pytest.raises(DataError, match="was a batch: name one of its items, as many-3:0"):
        find_answers(churn_service.settings, load("churn"), "many-3")


def test_the_description_has_both_formats_and_every_problem(service: httpx.Client) -> None:
    described = service.get("/docs.json").json()["paths"]["/predict/batch"]["post"]
    assert set(described["requestBody"]["content"]) == {"application/json"}
    success = described["responses"]["200"]["content"]
    assert set(success) == {"application/json", ARROW}
    example = success["application/json"]["example"]
    answers_type(load("churn"), StoreEvidence).model_validate(example)
    assert described_problems(described) == OF_EVERY_PREDICTION | OF_THE_STORE | {"too-many-instances"}


def connected(service: httpx.Client, body: bytes, length: int, receive_buffer: int = 0) -> socket.socket:
    """A connection over which a request of `length` bytes has begun."""
    opened = socket.socket()
    if receive_buffer:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    opened.connect((service.base_url.host, service.base_url.port))
    head = (
        f"POST /predict/batch HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    )
    opened.sendall(head.encode() + b"\r\n" + body)
    return opened


def test_a_third_concurrent_batch_is_refused_and_single_predictions_are_not(service: httpx.Client) -> None:
    one, held = [{"user_id": "good"}], list[socket.socket]()

    def refused_while_others_send() -> bool:
        held.append(connected(service, b"{", 100))
        return batch(service, one).status_code == 429

    kit.eventually(refused_while_others_send, 10, Path(__file__))
    refused = batch(service, one)
    problem_at(refused, 429, "overloaded")
    assert int(refused.headers["retry-after"]) > 0
    assert service.post("/predict", json=one[0]).status_code == 200
    for each in held:
        each.close()
    kit.eventually(lambda: batch(service, one).status_code == 200, 10, Path(__file__))


def test_a_disconnected_client_ends_the_work(service: httpx.Client) -> None:
    gone, users = 'asof_batches_total{code="gone"}', 'asof_batch_users_total{code="ok"}'
    before = [follow_kit.metric(service, name) for name in (gone, users)]
    body = _json({"instances": [{"user_id": user} for user in MANY] * 8})
    opened = connected(service, body, len(body), receive_buffer=4096)
    assert opened.recv(100).startswith(b"HTTP/1.1 200")
    opened.close()
    kit.eventually(lambda: follow_kit.metric(service, gone) == before[0] + 1, 20, Path(__file__))
    assert follow_kit.metric(service, users) - before[1] < 8 * len(MANY)
    assert batch(service, [{"user_id": "good"}]).status_code == 200


def test_single_predictions_are_answered_during_batches(service: httpx.Client) -> None:
    instances = [{"user_id": user} for user in MANY] * 8
    with ThreadPoolExecutor(1) as pool:
        many = pool.submit(lambda: httpx.post(f"{service.base_url}/predict/batch", json={"instances": instances}))
        singles = 0
        while not many.done():
            assert service.post("/predict", json={"user_id": "good"}).status_code == 200
            singles += 1
    assert many.result().status_code == 200
    assert singles > 10
