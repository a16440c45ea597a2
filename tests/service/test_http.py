"""A served Bento over a socket: limits, codings, ids, refusals, and its OpenAPI document."""

import json
import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from asof.serving.http.strict_json import MAX_BODY_BYTES
from tests.kits.service import serving as kit
from tests.kits.service.answers import problem
from tests.kits.service.churn_service import KEYS, TRUSTED_PROXY, ChurnService

NO_KEYS = {
    "": "empty",
    "a\0b": "U+0000",
    "a\r\nX-Evil: y": "U+000D",
    " a": "end with a blank",
    "a" * 501: "at most 500",
}
JSON, TRACED = (
    b"Content-Type: application/json\r\n",
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
)
GOOD = {"/predict": b'{"user_id": "good"}', "/predict/batch": b'{"instances": [{"user_id": "good"}]}'}
PATHS = list(GOOD)
MEANINGS = """
[[operations]]
include-path-regex = "^/predict$|^/invocations$|/infer$"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "404", "422"]
"""
"""Of schemathesis: a schema cannot say which features the model has (overrides), that the rows have the columns of a
request, or that a tensor has as many elements as its shape: 422 is right there, and no other refusal."""


@dataclass(frozen=True)
class Service:
    """The running service, and the file of its log."""

    client: httpx.Client
    log: Path

    def features(self, raw: str) -> httpx.Response:
        """GET /features/ with this after it as it stands: clients resolve dots."""
        return self.exchange(b"GET /features/%b HTTP/1.1\r\nHost: x\r\n\r\n" % raw.encode())[0]

    def exchange(self, *pieces: bytes, answers: int = 1) -> list[httpx.Response]:
        """The answers on one connection over which the pieces are sent."""
        address = (self.client.base_url.host, self.client.base_url.port)
        with socket.create_connection(address, timeout=20) as caller:
            for piece in pieces:
                caller.sendall(piece)
            file = caller.makefile("rb")
            return [_answer(file) for _ in range(answers)]


def _answer(file: Any) -> httpx.Response:
    status = int(file.readline().split()[1])
    lines = iter(lambda: file.readline().strip(), b"")
    headers = [tuple(line.split(b": ", 1)) for line in lines]
    length = int(dict(headers)[b"content-length"])
    return httpx.Response(status, headers=headers, content=file.read(length))


def post(path: str, *headers: bytes, body: bytes | None = None) -> bytes:
    """A request whose body has a length; by default a good one."""
    body = GOOD[path] if body is None else body
    framing = b"Content-Length: %d\r\n" % len(body)
    return b"".join([b"POST %s HTTP/1.1\r\nHost: x\r\n" % path.encode(), JSON, *headers, framing, b"\r\n", body])


@pytest.fixture(scope="module")
def service(churn_service: ChurnService) -> Service:
    return Service(churn_service.client, churn_service.log)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("lane", [b"", TRACED])
@pytest.mark.parametrize("coding", [b"gzip", b"GZIP, identity", b"br"])
def test_a_compressed_body_is_refused_and_the_next_request_gets_its_own_answer(
    service: Service, path: str, lane: bytes, coding: bytes
) -> None:
    packed = post(path, lane, b"Content-Encoding: %b\r\n" % coding, body=os.urandom(300))
    first, second = service.exchange(packed + post("/predict", b"X-Request-ID: mine\r\n"), answers=2)
    document = problem(first, 415, "unsupported-media-type")
    assert first.headers["accept-encoding"] == "identity"
    assert "Content-Encoding" in document["detail"]
    assert (second.status_code, second.json()["request_id"]) == (200, "mine")


@pytest.mark.parametrize("path", PATHS)
def test_a_compressed_body_in_chunks_is_refused(service: Service, path: str) -> None:
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n" % path.encode() + JSON
    chunks = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    problem(service.exchange(head + chunks)[0], 415, "unsupported-media-type")
    two_codings = head.replace(b"Content-Encoding", b"X") + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
    problem(service.exchange(two_codings)[0], 501, "not-implemented")


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/nothing", 404), ("GET", "/predict", 405)])
def test_the_coding_is_ignored_where_no_body_is_accepted(service: Service, method: str, path: str, status: int) -> None:
    answer = service.client.request(method, path, content=b"abc", headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


LONG = {
    "a body": (post("/predict", body=b" " * (MAX_BODY_BYTES + 1)), 413, "body-too-large"),
    "a body that waits": (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n" + JSON + b"\r\n",
        413,
        "body-too-large",
    ),
    "a batch that is not sent": (
        b"POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n" + JSON + b"\r\n",
        413,
        "body-too-large",
    ),
    "chunks": (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        + JSON
        + b"\r\n"
        + b"8000\r\n%b\r\n" % (b" " * 0x8000) * 3,
        413,
        "body-too-large",
    ),
    "no request": (b"GARBAGE\r\n\r\n", 400, "malformed-request"),
}


@pytest.mark.parametrize(("sent", "status", "code"), LONG.values(), ids=LONG)
def test_a_request_beyond_a_limit_gets_the_documented_problem(
    service: Service, sent: bytes, status: int, code: str
) -> None:
    problem(service.exchange(sent)[0], status, code)


def test_a_body_of_the_maximum_length_is_accepted(service: Service) -> None:
    body = GOOD["/predict"] + b" " * (MAX_BODY_BYTES - len(GOOD["/predict"]))
    whole, waiting = post("/predict", body=body), post("/predict", b"Expect: 100-continue\r\n", body=body)
    assert service.exchange(whole)[0].status_code == 200
    head, _, _ = waiting.partition(b"\r\n\r\n")
    with socket.create_connection((service.client.base_url.host, service.client.base_url.port), timeout=20) as caller:
        caller.sendall(head + b"\r\n\r\n")
        file = caller.makefile("rb")
        assert file.readline() + file.readline() == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.sendall(body)
        assert _answer(file).status_code == 200


def test_a_body_shorter_than_its_content_length_times_out(service: Service) -> None:
    (answer,) = service.exchange(post("/predict").replace(b"Length: 19", b"Length: 30"))
    problem(answer, 408, "body-too-slow")


@pytest.mark.parametrize("key", KEYS)
def test_every_id_is_accepted_in_body_batch_and_path(service: Service, key: str) -> None:
    single = service.client.post("/predict", json={"user_id": key})
    assert (single.status_code, single.json().get("user_id")) == (200, key)
    (item,) = service.client.post("/predict/batch", json={"instances": [{"user_id": key}]}).json()["predictions"]
    assert (item["user_id"], item["probability"]) == (key, single.json()["probability"])
    for address in {quote(key, safe=""), quote(key)}:
        answer = service.features(address)
        assert (answer.status_code, answer.json().get("entity")) == (200, key)
        assert {feature["verdict"] for feature in answer.json()["features"]} == {"PRESENT"}


@pytest.mark.parametrize(("text", "why"), NO_KEYS.items(), ids=ascii)
def test_an_invalid_id_is_refused_in_body_batch_and_path_by_the_same_rule(
    service: Service, text: str, why: str
) -> None:
    single = service.client.post("/predict", json={"user_id": text})
    document = problem(single, 422, "invalid-request")
    assert why in document["detail"]
    (item,) = service.client.post("/predict/batch", json={"instances": [{"user_id": text}]}).json()["predictions"]
    rule = document["errors"][0]["rule"]
    assert item["problem"]["errors"][0]["rule"] == rule
    if text:
        assert problem(service.features(quote(text, safe="")), 422, "invalid-request")["errors"][0]["rule"] == rule


def test_an_id_that_is_not_unicode_is_refused(service: Service) -> None:
    assert "UTF-8" in problem(service.features("%FF"), 422, "invalid-request")["detail"]
    assert (
        "surrogate"
        in service.client.post(
            "/predict", content=b'{"user_id": "a\\ud800"}', headers={"content-type": "application/json"}
        ).text
    )


def test_an_unknown_id_that_exists_in_another_unicode_form_is_explained(service: Service) -> None:
    document = problem(service.client.post("/predict", json={"user_id": "Jose\u0301-1"}), 404, "entity-not-found")
    assert "Unicode form (NFD)" in document["detail"]
    assert document["entity"] == "Jose\u0301-1"
    assert "Unicode form (NFC)" in problem(service.features(quote("Zoë")), 404, "entity-not-found")["detail"]


def test_no_id_breaks_a_line_of_the_log(service: Service) -> None:
    for key in ("a\r\nb", "\u2028", '"}', "\x1b[31m"):
        service.features(quote(key, safe=""))
    service.client.get("/model", headers={"X-Request-ID": "last"})
    kit.eventually(lambda: '"last"' in service.log.read_text(), 10, service.log)
    lines = [line for line in service.log.read_text().split("\n") if line.startswith("{")]
    paths = {json.loads(line)["path"] for line in lines}
    assert {"/features/a\r\nb", '/features/"}'} <= paths


def test_every_refused_method_lists_the_allowed_ones(service: Service) -> None:
    for path in ("/healthz", "/livez", "/readyz", "/metrics", "/model", "/health", "/predict", "/predict/batch"):
        answer = service.client.request("TRACE", path)
        problem(answer, 405, "method-not-allowed")
        assert answer.headers["allow"], path


@pytest.mark.parametrize(
    "path", ["/predict/", "/predict/batch/", "/model/", "/healthz/", "/docs.json/", "/static_content"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_trailing_slash_is_not_redirected(service: Service, path: str, method: str) -> None:
    answer = service.client.request(method, path, headers={"Host": "elsewhere.example"})
    problem(answer, 404, "not-found")
    assert "location" not in answer.headers


def test_an_upgrade_to_a_websocket_is_refused_and_to_http2_ignored(service: Service) -> None:
    wish = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    wish += b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    problem(service.exchange(b"GET /predict HTTP/1.1\r\nHost: x\r\n" + wish + b"\r\n")[0], 405, "method-not-allowed")
    (answer,) = service.exchange(
        post("/predict", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n")
    )
    assert answer.status_code == 200


def client_in_log(service: Service, source: str, forwarded: str) -> str:
    transport = httpx.HTTPTransport(local_address=source)
    marked = f"from-{source}-{forwarded}".replace(",", "-").replace(" ", "")
    with httpx.Client(base_url=service.client.base_url, transport=transport) as client:
        client.get("/model", headers={"X-Forwarded-For": forwarded, "X-Request-ID": marked})
    kit.eventually(lambda: f'"{marked}"' in service.log.read_text(), 10, service.log)
    (line,) = (line for line in service.log.read_text().splitlines() if f'"{marked}"' in line)
    document: str = json.loads(line)["client"]
    return document


def test_only_a_trusted_proxy_sets_the_client_address(service: Service) -> None:
    assert client_in_log(service, "127.0.0.1", "6.6.6.6") == "127.0.0.1"
    assert client_in_log(service, TRUSTED_PROXY, "9.9.9.9") == "9.9.9.9"
    assert client_in_log(service, TRUSTED_PROXY, "6.6.6.6, 8.8.8.8") == "8.8.8.8"  # what the proxy itself has seen


def test_the_page_loads_nothing_from_other_hosts(service: Service) -> None:
    page = service.client.get("/")
    assert "<title>StreamFlow customer churn</title>" in page.text
    assert "://" not in page.text
    for path in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert service.client.get(f"/{path}").status_code == 200


def test_the_description_is_of_this_bento(service: Service, churn_service: ChurnService) -> None:
    document = service.client.get("/docs.json").json()
    assert document["info"]["title"] == "StreamFlow customer churn"
    assert document["info"]["version"] == churn_service.model.bundle.bento_tag.partition(":")[2]
    assert "streamflow_churn" in document["info"]["description"]
    assert not re.search(r"BentoML|make up|localhost", json.dumps(document))


def test_the_service_conforms_to_its_description(service: Service, tmp_path: Path) -> None:
    """Schemathesis: every address, with what its schema allows and what it does not."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(MEANINGS)
    words = ["run", f"{service.client.base_url}/docs.json", "--max-examples", "20", "--seed", "15", "--no-color"]
    run = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), *words]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    (passed,) = re.findall(r"(\d+) generated, \1 passed", done.stdout)
    assert int(passed) > 100
