"""API keys, rate limits and header limits of a served Bento with two workers."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asof.serving.access.key_editing import add_key, remove_key
from asof.serving.access.scopes import ADMIN, PREDICT
from asof.settings import Settings
from tests.kits.service import serving as kit
from tests.kits.service.serving import NOW, USER

if TYPE_CHECKING:
    from tests.kits.service.small_model import SmallModel

OF_CALLERS = [("POST", "/predict"), ("POST", "/predict/batch"), ("GET", "/features/good")]
OF_ADMINISTRATORS = [
    ("GET", "/model"),
    ("GET", "/metrics"),
    ("GET", "/health"),
    ("GET", "/"),
    ("GET", "/schema.json"),
    ("GET", "/nothing"),
    ("POST", "/livez/"),
    ("OPTIONS", "/"),
]
PROBES = ["/livez", "/readyz", "/healthz"]
BODIES: dict[str, Any] = {"/predict": {"user_id": "good"}, "/predict/batch": {"instances": [{"user_id": "good"}]}}
TAKEN_OVER = 3.0
"""Seconds after which every worker must know: it looks once a second, when it is asked."""


class Guarded:
    """The service, its file of keys, and the keys that were made."""

    def __init__(self, client: httpx.Client, file: Path, log: Path, keys: dict[str, str]) -> None:
        self.client, self.file, self.log, self.keys = client, file, log, keys

    def ask(self, method: str, path: str, key: str | None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys.get(key, key)}"} if key else {}
        return self.client.request(method, path, headers=headers, json=BODIES.get(path), **more)

    def predict(self, key: str | None) -> httpx.Response:
        return self.ask("POST", "/predict", key)

    def add(self, name: str, *scopes: str, expires: str | None = None) -> None:
        self.keys[name] = add_key(self.file, name, scopes, expires)[1]


@pytest.fixture(scope="module")
def guarded(
    settings: Settings, small_model: "SmallModel", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    kit.write_users(settings, {"good": USER}, NOW - timedelta(days=10))
    folder = tmp_path_factory.mktemp("guarded")
    file = folder / "keys" / "api-keys"
    keys = {name: add_key(file, name, scopes)[1] for name, scopes in {"crm": [PREDICT], "ops": [ADMIN]}.items()}
    variables = {"ASOF_API_KEYS": str(file), "ASOF_WORKERS": "2", "ASOF_CLOCK": NOW.isoformat()}
    with kit.serving(settings, small_model.bundle.bento_tag, folder, **variables) as client:
        kit.eventually(lambda: client.get("/readyz").status_code == 200, 60, folder / "log")
        yield Guarded(client, file, folder / "log", keys)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    document: dict[str, Any] = answer.json()
    assert (document["code"], document["request_id"]) == (code, answer.headers["x-request-id"])
    return document


@pytest.mark.parametrize("path", PROBES)
def test_probes_are_asked_without_a_key(guarded: Guarded, path: str) -> None:
    assert guarded.ask("GET", path, None).status_code == 200


@pytest.mark.parametrize(("method", "path"), [*OF_CALLERS, *OF_ADMINISTRATORS, ("GET", "/docs.json")])
@pytest.mark.parametrize("key", [None, "guessed", "", "asof_" + "A" * 43])
def test_without_a_valid_key_nothing_is_shown(guarded: Guarded, method: str, path: str, key: str | None) -> None:
    answer = guarded.ask(method, path, key)
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), OF_CALLERS)
def test_who_may_predict_gets_predictions_and_who_administers_does_not(
    guarded: Guarded, method: str, path: str
) -> None:
    assert guarded.ask(method, path, "crm").status_code == 200
    assert problem(guarded.ask(method, path, "ops"), 403, "forbidden")["scope"] == "predict"


@pytest.mark.parametrize(("method", "path"), OF_ADMINISTRATORS)
def test_everything_else_is_for_administrators(guarded: Guarded, method: str, path: str) -> None:
    assert guarded.ask(method, path, "ops").status_code not in (401, 403)
    document = problem(guarded.ask(method, path, "crm"), 403, "forbidden")
    assert document["scope"] == "admin"
    assert "admin" in document["detail"]


@pytest.mark.parametrize("header", ["Basic {}", "{}", "Bearer", "Bearer {} x", "Bearer {}x"])
def test_another_scheme_or_another_form_is_no_key(guarded: Guarded, header: str) -> None:
    headers = {"Authorization": header.format(guarded.keys["crm"])}
    problem(guarded.client.post("/predict", json=BODIES["/predict"], headers=headers), 401, "unauthenticated")


def test_two_keys_in_one_request_are_none(guarded: Guarded) -> None:
    both = [("Authorization", f"Bearer {guarded.keys[name]}") for name in ("crm", "ops")]
    problem(guarded.client.get("/docs.json", headers=both), 401, "unauthenticated")


def test_the_scheme_is_known_in_any_case(guarded: Guarded) -> None:
    headers = {"Authorization": f"bEARER {guarded.keys['crm']}"}
    assert guarded.client.post("/predict", json=BODIES["/predict"], headers=headers).status_code == 200


def test_the_description_tells_of_keys_at_each_address_but_the_probes(guarded: Guarded) -> None:
    for key in ("crm", "ops"):
        document = guarded.ask("GET", "/docs.json", key).json()
    (name, scheme), *others = document["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"], others) == ("http", "bearer", [])
    for path, item in document["paths"].items():
        for operation in item.values():
            secured = operation.get("security") == [{name: []}]
            assert secured is (path not in PROBES), path
            if secured:
                assert {"401", "403", "429"} <= operation["responses"].keys()
    limits = document["paths"]["/predict"]["post"]["responses"]["429"]["content"]["application/problem+json"][
        "examples"
    ]
    assert limits.keys() == {"overloaded", "too-many-requests"}
    assert "scope predict" in document["paths"]["/predict"]["post"]["description"]


def test_the_log_names_keys_and_refusals_are_counted(guarded: Guarded) -> None:
    guarded.predict("crm")
    guarded.predict(None)
    time.sleep(0.2)
    lines = [json.loads(line) for line in guarded.log.read_text().splitlines() if line.startswith('{"at"')]
    logged = {(line["path"], line["status"], line.get("key")) for line in lines}
    assert {("/predict", 200, "crm"), ("/predict", 401, None), ("/model", 403, "crm")} <= logged
    text = guarded.ask("GET", "/metrics", "ops").text
    counted = [line for line in text.splitlines() if line.startswith("asof_refused_requests_total{")]
    assert {"unauthenticated", "forbidden"} <= {line.partition('code="')[2].partition('"')[0] for line in counted}
    assert not any(key in guarded.log.read_text() + text for key in guarded.keys.values())


def test_keys_are_rotated_under_load_without_refusing_a_valid_key(guarded: Guarded) -> None:
    """The steps of docs/security.md: a new key, the caller changes over, the old one goes."""
    guarded.add("old", PREDICT)
    time.sleep(TAKEN_OVER)
    using, stop, statuses = ["old"], threading.Event(), Counter[tuple[str, int]]()
    refused_by_then: list[float] = []

    def load() -> None:
        with httpx.Client(base_url=guarded.client.base_url) as client:
            while not stop.is_set():
                name = using[0]
                headers = {"Authorization": f"Bearer {guarded.keys[name]}", "Connection": "close"}
                answer = client.post("/predict", json=BODIES["/predict"], headers=headers)
                statuses[name, answer.status_code] += 1

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        guarded.add("new", PREDICT)
        time.sleep(TAKEN_OVER)
        using[0] = "new"
        time.sleep(0.5)
        remove_key(guarded.file, "old")
        removed_at = time.monotonic()
        while time.monotonic() - removed_at < TAKEN_OVER:
            if guarded.predict("old").status_code == 401:
                refused_by_then.append(time.monotonic() - removed_at)
        time.sleep(0.2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert {status for _, status in statuses} == {200}, statuses
    assert min(count for count in statuses.values()) > 5  # on a busy machine too
    assert {
        guarded.client.post("/predict", json={}, headers=_closing(guarded, "old")).status_code for _ in range(20)
    } == {401}
    assert refused_by_then


def _closing(guarded: Guarded, name: str) -> dict[str, str]:
    """A connection of its own, so that any worker may get it."""
    return {"Authorization": f"Bearer {guarded.keys[name]}", "Connection": "close"}


def test_a_key_ends_at_its_moment_without_a_change_of_the_file(guarded: Guarded) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=TAKEN_OVER + 2)
    guarded.add("brief", PREDICT, expires=ends.isoformat())
    time.sleep(TAKEN_OVER)
    assert guarded.predict("brief").status_code == 200
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 0.05)
    assert "has expired" in problem(guarded.predict("brief"), 401, "unauthenticated")["detail"]


@pytest.mark.parametrize("harm", ["broken", "empty", "gone"])
def test_an_invalid_file_of_keys_changes_no_access(guarded: Guarded, harm: str) -> None:
    before = guarded.file.read_bytes()
    warnings_before = guarded.log.read_text().count("Keeping the previous keys")
    try:
        if harm == "gone":
            guarded.file.unlink()
        else:
            guarded.file.write_bytes(b"" if harm == "empty" else before + b"half a li")
        until = time.monotonic() + TAKEN_OVER
        while time.monotonic() < until:
            for _ in range(8):
                assert guarded.client.post(
                    "/predict", json=BODIES["/predict"], headers=_closing(guarded, "crm")
                ).is_success
                problem(guarded.predict(None), 401, "unauthenticated")
        assert guarded.log.read_text().count("Keeping the previous keys") - warnings_before in (1, 2)  # once a worker
    finally:
        guarded.file.write_bytes(before)
        until = time.monotonic() + TAKEN_OVER
        while time.monotonic() < until:  # a worker that nobody asks does not look
            guarded.client.get("/nothing", headers=_closing(guarded, "ops"))


def test_no_other_site_may_ask_from_a_browser_and_no_version_is_told(guarded: Guarded) -> None:
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    answers = [guarded.client.options("/predict", headers=asked), guarded.client.get("/livez", headers=asked)]
    for name in ("crm", "ops"):
        key = {"Authorization": f"Bearer {guarded.keys[name]}"}
        for method, path in (*OF_CALLERS, *OF_ADMINISTRATORS, ("OPTIONS", "/predict"), ("GET", "/docs.json")):
            answers.append(guarded.client.request(method, path, headers=asked | key, json=BODIES.get(path)))
    for answer in answers:
        assert not any(name.startswith("access-control") for name in answer.headers), answer.request.url
        assert not answer.headers.keys() & {"server", "x-powered-by", "via"}, answer.request.url


def _raw(guarded: Guarded, pieces: Iterator[bytes] | list[bytes]) -> bytes:
    """What comes back until the service closes the connection, whatever becomes of the sending."""
    url = guarded.client.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except OSError:
            pass
        received = b""
        try:
            while piece := connection.recv(65536):
                received += piece
        except OSError:
            pass
        return received


LINE = b"GET /livez HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([LINE + b"X-Long: " + b"a" * 64 * 1024 + b"\r\n\r\n"], 431),
        ([LINE + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 100) for n in range(600)) + b"\r\n"], 431),
        ([LINE + b"X-Endless: ", *[b"a" * 65536] * 40], 431),
        ([LINE, *[b"X: y\r\n" * 200] * 200], 431),
        ([b"GET /livez?" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"], 414),
        ([b"GET /", *[b"a" * 65536] * 40], 414),
    ],
    ids=["one header", "many headers", "a header without an end", "headers without an end", "query", "endless path"],
)
def test_a_head_that_is_too_long_is_a_problem_and_the_connection_is_closed(
    guarded: Guarded, pieces: list[bytes], status: int
) -> None:
    head, _, body = _raw(guarded, pieces).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), head[:200]
    assert b"connection: close" in head
    document = json.loads(body)
    assert document["code"] == {414: "address-too-long", 431: "headers-too-large"}[status]
    assert (document["status"], document["type"]) == (status, f"urn:asof:problem:{document['code']}")
    assert guarded.client.get("/livez").status_code == 200


def test_a_head_within_the_limits_comes_in(guarded: Guarded) -> None:
    headers = {"Authorization": f"Bearer {guarded.keys['crm']}", "X-Long": "a" * 24_000}
    assert guarded.client.post("/predict?" + "a" * 8000, json={"user_id": "good"}, headers=headers).status_code == 200


@pytest.mark.parametrize(("path", "pieces"), [("/predict", 2), ("/predict/batch", 300)])
@pytest.mark.parametrize("traced", [False, True])
def test_a_body_without_a_length_is_measured_as_it_comes(
    guarded: Guarded, path: str, pieces: int, traced: bool
) -> None:
    headers = {"Authorization": f"Bearer {guarded.keys['crm']}", "Content-Type": "application/json"}
    if traced:  # past the fast lane, through BentoML's own layers
        headers["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = guarded.client.post(path, content=(b"a" * 65536 for _ in range(pieces)), headers=headers)
    problem(answer, 413, "body-too-large")


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP"])
def test_nobody_says_in_a_header_who_asks(guarded: Guarded, name: str) -> None:
    for number, value in enumerate(("6.6.6.6", "6.6.6.6, 127.0.0.1", "for=6.6.6.6", "::1")):
        marked = f"{name}-{number}"
        guarded.client.get("/model", headers={name: value, "X-Request-ID": marked})
        kit.eventually(lambda marked=marked: f'"{marked}"' in guarded.log.read_text(), 10, guarded.log)
        (line,) = (line for line in guarded.log.read_text().splitlines() if f'"{marked}"' in line)
        assert json.loads(line)["client"] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/model", "/health", "/metrics", "/docs.json", "/nothing"])
def test_an_address_that_takes_no_body_does_not_keep_one(guarded: Guarded, path: str) -> None:
    headers = {"Authorization": f"Bearer {guarded.keys['ops']}"}
    answer = guarded.client.post(path, content=(b"a" * 65536 for _ in range(500)), headers=headers)
    assert answer.status_code in (404, 405)


def test_a_worker_grants_a_key_its_share(
    settings: Settings, small_model: "SmallModel", guarded: Guarded, tmp_path: Path
) -> None:
    variables = {
        "ASOF_API_KEYS": str(guarded.file),
        "ASOF_RATE_PER_KEY": "2",
        "ASOF_RATE_BURST": "10",
        "ASOF_WORKERS": "2",
    }
    variables["ASOF_CLOCK"] = NOW.isoformat()
    with kit.serving(settings, small_model.bundle.bento_tag, tmp_path, **variables) as client:
        kit.eventually(lambda: client.get("/readyz").status_code == 200, 60, tmp_path / "log")
        limited = Guarded(client, guarded.file, tmp_path / "log", guarded.keys)
        answers = [limited.predict("crm") for _ in range(12)]
        assert [answer.status_code for answer in answers[:5]] == [200] * 5  # one connection: one worker, half of ten
        refused = problem(answers[-1], 429, "too-many-requests")
        assert refused["detail"].startswith("crm ")
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert limited.ask("GET", "/model", "ops").status_code == 200  # another key
        assert limited.ask("GET", "/livez", None).status_code == 200
        time.sleep(int(answers[-1].headers["retry-after"]))
        assert limited.predict("crm").status_code == 200
        batch = {"instances": [{"user_id": "good"}] * 100}
        time.sleep(int(limited.predict("crm").headers.get("retry-after", 0)))
        key = {"Authorization": f"Bearer {guarded.keys['crm']}"}
        assert client.post("/predict/batch", json=batch, headers=key).status_code == 200
        owing = problem(limited.predict("crm"), 429, "too-many-requests")
        assert owing["status"] == 429
        assert int(limited.predict("crm").headers["retry-after"]) > 50  # a hundred, at one a second


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ASOF_API_KEYS": "/nonexistent/keys"}, "ASOF_API_KEYS /nonexistent/keys cannot be read"),
        ({"ASOF_RATE_PER_KEY": "5"}, "set ASOF_API_KEYS too"),
    ],
)
def test_a_service_with_invalid_access_settings_does_not_start(
    settings: Settings, small_model: "SmallModel", variables: dict[str, str], message: str
) -> None:
    words = [sys.executable, "-m", "bentoml", "serve", small_model.bundle.bento_tag, "--port", str(kit.free_port())]
    environment = {**os.environ, **settings.environment(), **variables}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
