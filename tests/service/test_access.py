"""API keys, rate limits and header limits of a served Bento with two workers."""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from asof.serving.access.key_editing import add_key, remove_key
from asof.serving.access.scopes import ADMIN, OUTCOMES, PREDICT, WHAT_IF
from asof.settings import Settings
from tests.kits.service import serving as kit
from tests.kits.service.answers import problem
from tests.kits.service.serving import NOW, USER
from tests.kits.service.small_model import SmallModel

INFER, INVOCATIONS = f"/v2/models/{kit.NAME}/infer", "/invocations"
OF_CALLERS = [
    *(("POST", "/predict"), ("POST", "/predict/batch"), ("GET", "/features/good"), ("GET", "/v2")),
    *(("POST", INFER), ("POST", INVOCATIONS), ("GET", f"/v2/models/{kit.NAME}/ready")),
]
OF_ADMINISTRATORS = [
    ("GET", "/model"),
    ("GET", "/metrics"),
    ("GET", "/health"),
    ("GET", "/"),
    ("GET", "/nothing"),
    ("POST", "/livez/"),
    ("OPTIONS", "/"),
]
PROBES = ["/livez", "/readyz", "/healthz", "/ping", "/version", "/v2/health/live", "/v2/health/ready"]
BODIES: dict[str, Any] = {
    "/predict": {"user_id": "good"},
    "/predict/batch": {"instances": [{"user_id": "good"}]},
    INFER: {"inputs": [{"name": "user_id", "datatype": "BYTES", "shape": [1], "data": ["good"]}]},
    INVOCATIONS: {"instances": [{"user_id": "good"}]},
}
WORKERS, RATE, BURST = 2, 400, 1000
"""The rate limit is far above what the other tests send."""
AGREE = 12
"""Consecutive answers over separate connections: the chance that one of two workers gives them all is 1 in 4096."""
WARNING = "Keeping the previous keys"
"""What each worker logs once when it has read an invalid file."""


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
        """Adds a key, and waits until both workers accept it."""
        self.keys[name] = add_key(self.file, name, scopes, expires)[1]
        self.wait_for(200, name)

    def wait_for(self, status: int, name: str) -> None:
        """Waits until both workers answer POST /predict with this key by this status."""
        requests = [name] * AGREE
        kit.eventually(lambda: all(self.request_closing(each).status_code == status for each in requests), 20, self.log)

    def wait_for_warnings(self, count: int) -> None:
        """Waits until so many warnings are logged: a worker reads the file again when it gets a request."""

        def are_logged() -> bool:
            assert self.request_closing("crm").status_code == 200, "a valid key is never refused"
            problem(self.predict(None), 401, "unauthenticated")
            return self.log.read_text().count(WARNING) == count

        kit.eventually(are_logged, 20, self.log)

    def predict_batch(self, key: str, count: int) -> None:
        body = {"instances": [BODIES["/predict"]] * count}
        headers = {"Authorization": f"Bearer {self.keys[key]}"}
        assert self.client.post("/predict/batch", json=body, headers=headers).status_code == 200

    def request_closing(self, name: str) -> httpx.Response:
        """POST /predict over a connection of its own, so that any worker may accept it."""
        headers = {"Authorization": f"Bearer {self.keys[name]}", "Connection": "close"}
        return self.client.post("/predict", json=BODIES["/predict"], headers=headers)


SCOPES_OF_KEYS = {
    "crm": [PREDICT],
    "ops": [ADMIN],
    "books": [OUTCOMES],
    "desk": [PREDICT, WHAT_IF],
    "only-what-if": [WHAT_IF],
}


@pytest.fixture(scope="module")
def guarded(settings: Settings, small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    kit.write_users(settings, {"good": USER}, NOW - timedelta(days=10))
    folder = tmp_path_factory.mktemp("guarded")
    file = folder / "keys" / "api-keys"
    keys = {name: add_key(file, name, scopes)[1] for name, scopes in SCOPES_OF_KEYS.items()}
    variables = {
        "ASOF_API_KEYS": str(file),
        "ASOF_WORKERS": str(WORKERS),
        "ASOF_RATE_PER_KEY": str(RATE),
        "ASOF_RATE_BURST": str(BURST),
        "ASOF_CLOCK": NOW.isoformat(),
    }
    with kit.serving(settings, small_model.bundle.bento_tag, folder, **variables) as client:
        yield Guarded(client, file, folder / "log", keys)


@pytest.mark.parametrize("path", PROBES)
def test_probes_need_no_key(guarded: Guarded, path: str) -> None:
    assert guarded.ask("GET", path, None).status_code == 200


@pytest.mark.parametrize(("method", "path"), [*OF_CALLERS, *OF_ADMINISTRATORS, ("GET", "/docs.json")])
@pytest.mark.parametrize("key", [None, "guessed", "", "asof_" + "A" * 43])
def test_without_a_valid_key_nothing_is_shown(guarded: Guarded, method: str, path: str, key: str | None) -> None:
    answer = guarded.ask(method, path, key)
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), OF_CALLERS)
def test_predictions_need_the_scope_predict(guarded: Guarded, method: str, path: str) -> None:
    assert guarded.ask(method, path, "crm").status_code == 200
    assert problem(guarded.ask(method, path, "ops"), 403, "forbidden")["scope"] == "predict"


def test_overrides_need_a_scope_of_their_own_beside_predict(guarded: Guarded) -> None:
    def ask(key: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {guarded.keys[key]}"}
        return guarded.client.post("/predict", json={"user_id": "good", **more}, headers=headers)

    some = {"overrides": {"monthly_fee": 99.5}}
    assert ask("desk", **some).json()["overridden"][0]["feature"] == "monthly_fee"
    assert problem(ask("crm", **some), 403, "forbidden")["scope"] == "what-if"
    assert problem(ask("only-what-if", **some), 403, "forbidden")["scope"] == "predict"
    for key in ("crm", "desk"):
        for plain in ({}, {"overrides": {}}, {"explain": True}):
            assert ask(key, **plain).status_code == 200


@pytest.mark.parametrize("key", ["crm", "ops"])
def test_outcomes_need_a_scope_of_their_own(guarded: Guarded, key: str) -> None:
    assert guarded.ask("POST", "/outcomes", "books").status_code not in (401, 403)
    assert problem(guarded.ask("POST", "/outcomes", key), 403, "forbidden")["scope"] == "outcomes"
    assert problem(guarded.predict("books"), 403, "forbidden")["scope"] == "predict"


@pytest.mark.parametrize(("method", "path"), OF_ADMINISTRATORS)
def test_all_other_paths_need_the_scope_admin(guarded: Guarded, method: str, path: str) -> None:
    assert guarded.ask(method, path, "ops").status_code not in (401, 403)
    document = problem(guarded.ask(method, path, "crm"), 403, "forbidden")
    assert document["scope"] == "admin"
    assert "admin" in document["detail"]


@pytest.mark.parametrize("header", ["Basic {}", "{}", "Bearer", "Bearer {} x", "Bearer {}x"])
def test_another_scheme_or_format_is_not_a_key(guarded: Guarded, header: str) -> None:
    headers = {"Authorization": header.format(guarded.keys["crm"])}
    problem(guarded.client.post("/predict", json=BODIES["/predict"], headers=headers), 401, "unauthenticated")


def test_two_keys_in_one_request_are_refused(guarded: Guarded) -> None:
    both = [("Authorization", f"Bearer {guarded.keys[name]}") for name in ("crm", "ops")]
    problem(guarded.client.get("/docs.json", headers=both), 401, "unauthenticated")


def test_the_scheme_is_case_insensitive(guarded: Guarded) -> None:
    headers = {"Authorization": f"bEARER {guarded.keys['crm']}"}
    assert guarded.client.post("/predict", json=BODIES["/predict"], headers=headers).status_code == 200


def test_the_description_requires_keys_on_each_path_but_the_probes(guarded: Guarded) -> None:
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
    guarded.ask("GET", "/model", "crm")
    expected = {("/predict", 200, "crm"), ("/predict", 401, None), ("/model", 403, "crm")}

    def is_logged() -> bool:
        lines = [json.loads(line) for line in guarded.log.read_text().splitlines() if line.startswith('{"at"')]
        return expected <= {(line["path"], line["status"], line.get("key")) for line in lines}

    kit.eventually(is_logged, 10, guarded.log)
    text = guarded.ask("GET", "/metrics", "ops").text
    counted = [line for line in text.splitlines() if line.startswith("asof_refused_requests_total{")]
    assert {"unauthenticated", "forbidden"} <= {line.partition('code="')[2].partition('"')[0] for line in counted}
    assert not any(key in guarded.log.read_text() + text for key in guarded.keys.values())


def test_keys_are_rotated_under_load_without_refusing_a_valid_key(guarded: Guarded) -> None:
    """The steps of docs/operations/security.md: a new key, the caller changes over, the old one is removed."""
    guarded.add("old", PREDICT)
    using, stop, statuses = ["old"], threading.Event(), Counter[tuple[str, int]]()

    def load() -> None:
        while not stop.is_set():
            name = using[0]
            statuses[name, guarded.request_closing(name).status_code] += 1
            time.sleep(0.02)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        guarded.add("new", PREDICT)
        using[0] = "new"
        time.sleep(0.5)  # requests with the old key are answered meanwhile
        remove_key(guarded.file, "old")
        guarded.wait_for(401, "old")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert {status for _, status in statuses} == {200}, statuses
    assert min(count for count in statuses.values()) > 5  # on a busy machine too


def test_a_key_expires_without_a_change_of_the_file(guarded: Guarded) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=5)
    guarded.add("brief", PREDICT, expires=ends.isoformat())
    if datetime.now(UTC) < ends - timedelta(seconds=1):  # else the machine is too slow for this check
        assert guarded.predict("brief").status_code == 200
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 0.05)
    assert "has expired" in problem(guarded.predict("brief"), 401, "unauthenticated")["detail"]


@pytest.mark.parametrize("harm", ["broken", "empty", "gone"])
def test_an_invalid_file_of_keys_changes_no_access(guarded: Guarded, harm: str) -> None:
    before, warnings = guarded.file.read_bytes(), guarded.log.read_text().count(WARNING)
    if harm == "gone":
        guarded.file.unlink()
    else:
        guarded.file.write_bytes(b"" if harm == "empty" else before + b"half a li")
    guarded.wait_for_warnings(warnings + WORKERS)
    assert guarded.ask("GET", "/health", "ops").status_code == 200
    guarded.file.write_bytes(before)
    guarded.add(f"after-{harm}", PREDICT)


def test_no_cross_origin_request_is_allowed_and_no_version_is_disclosed(guarded: Guarded) -> None:
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
def test_headers_that_are_too_long_get_a_problem_and_close_the_connection(
    guarded: Guarded, pieces: list[bytes], status: int
) -> None:
    head, _, body = _raw(guarded, pieces).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), head[:200]
    assert b"connection: close" in head
    document = json.loads(body)
    assert document["code"] == {414: "address-too-long", 431: "headers-too-large"}[status]
    assert (document["status"], document["type"]) == (status, f"urn:asof:problem:{document['code']}")
    assert guarded.client.get("/livez").status_code == 200


def test_headers_within_the_limits_are_accepted(guarded: Guarded) -> None:
    headers = {"Authorization": f"Bearer {guarded.keys['crm']}", "X-Long": "a" * 24_000}
    assert guarded.client.post("/predict?" + "a" * 8000, json={"user_id": "good"}, headers=headers).status_code == 200


@pytest.mark.parametrize(("path", "pieces"), [("/predict", 2), ("/predict/batch", 300)])
@pytest.mark.parametrize("traced", [False, True])
def test_a_body_without_a_length_is_limited_while_it_is_received(
    guarded: Guarded, path: str, pieces: int, traced: bool
) -> None:
    headers = {"Authorization": f"Bearer {guarded.keys['crm']}", "Content-Type": "application/json"}
    if traced:  # past the fast lane, through BentoML's own layers
        headers["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = guarded.client.post(path, content=(b"a" * 65536 for _ in range(pieces)), headers=headers)
    problem(answer, 413, "body-too-large")


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP"])
def test_no_header_sets_the_client_address(guarded: Guarded, name: str) -> None:
    for number, value in enumerate(("6.6.6.6", "6.6.6.6, 127.0.0.1", "for=6.6.6.6", "::1")):
        marked = f"{name}-{number}"
        guarded.client.get("/model", headers={name: value, "X-Request-ID": marked})
        kit.eventually(lambda marked=marked: f'"{marked}"' in guarded.log.read_text(), 10, guarded.log)
        (line,) = (line for line in guarded.log.read_text().splitlines() if f'"{marked}"' in line)
        assert json.loads(line)["client"] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/model", "/health", "/metrics", "/docs.json", "/nothing"])
def test_a_path_that_accepts_no_body_does_not_read_one(guarded: Guarded, path: str) -> None:
    headers = {"Authorization": f"Bearer {guarded.keys['ops']}"}
    answer = guarded.client.post(path, content=(b"a" * 65536 for _ in range(500)), headers=headers)
    assert answer.status_code in (404, 405)


def test_a_worker_grants_a_key_its_share(guarded: Guarded) -> None:
    """Over one connection, so by one worker. A batch is charged for each instance."""
    guarded.add("bulk", PREDICT)
    with httpx.Client(base_url=guarded.client.base_url, timeout=60) as client:
        limited = Guarded(client, guarded.file, guarded.log, guarded.keys)
        kit.eventually(lambda: limited.predict("bulk").status_code == 200, 20, guarded.log)  # this worker knows it
        limited.predict_batch("bulk", BURST // WORKERS + 200)
        refused = limited.predict("bulk")
        assert problem(refused, 429, "too-many-requests")["detail"].startswith("bulk ")
        assert limited.predict("crm").status_code == 200  # another key
        assert limited.ask("GET", "/livez", None).status_code == 200
        time.sleep(int(refused.headers["retry-after"]))
        assert limited.predict("bulk").status_code == 200
        limited.predict_batch("bulk", 3000)
        seconds = int(limited.predict("bulk").headers["retry-after"])
        assert 3000 * WORKERS / RATE - 5 <= seconds <= 3000 * WORKERS / RATE + 1  # alone it would take half of it


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ASOF_API_KEYS": "/nonexistent/keys"}, "ASOF_API_KEYS /nonexistent/keys cannot be read"),
        ({"ASOF_RATE_PER_KEY": "5"}, "set ASOF_API_KEYS too"),
    ],
)
def test_invalid_access_settings_end_the_start(settings: Settings, variables: dict[str, str], message: str) -> None:
    assert message in kit.start_error("churn", {**settings.environment(), **variables})
