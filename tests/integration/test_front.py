"""What passes the front door, and what does not: real processes and sockets, with a small server behind it."""

import hashlib
import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import psutil
import pytest

from asof.settings import PROJECT, Settings
from local import background, stack
from local.background import Running, Service
from local.ports import any_free_port
from local.services import front_service
from local.traffic import FRONT, SLOTS, Traffic, switch
from tests import serving_kit as kit

MEGABYTE = bytes(range(256)) * 4096
HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"), port=any_free_port(HERE))


@pytest.fixture(scope="module")
def run(settings: Settings) -> Path:
    folder = stack.run_folder(settings)
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def front(settings: Settings, run: Path) -> Iterator[Running]:
    """The front door with a small server behind it."""
    tiny = Service(SLOTS[0], "", "tests.tiny_backend", ("tiny:1",), 0, "/readyz", {"PYTHONPATH": str(PROJECT)})
    backend = background.launch(tiny, run, (HERE, any_free_port(HERE)))
    door = front_service(settings)
    running = background.launch(door, run, (HERE, settings.port))
    background.wait_until_healthy(tiny, backend, run)
    switch(run, Traffic(SLOTS[0], "tiny:1"))
    background.wait_until_healthy(door, running, run)
    yield running
    for name in (FRONT, *SLOTS):
        background.end(name, run)


@pytest.fixture
def client(front: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=front.address, timeout=30) as client:
        yield client


def test_a_large_body_passes_both_ways_in_pieces(client: httpx.Client, front: Running) -> None:
    megabytes, process = 64, psutil.Process(front.pid)
    before = process.memory_info().rss
    digest = hashlib.sha256(MEGABYTE * megabytes).hexdigest()
    for headers in ({}, {"Content-Length": str(len(MEGABYTE) * megabytes)}):
        told = client.post("/digest", content=(MEGABYTE for _ in range(megabytes)), headers=headers).json()
        assert told == {"sha256": digest, "length": len(MEGABYTE) * megabytes}
    pieces = megabytes * 16
    length = 0
    with client.stream("GET", f"/large?pieces={pieces}") as answer:
        for piece in answer.iter_raw():
            length += len(piece)
    assert length == pieces * 65536
    assert process.memory_info().rss - before < 32 * len(MEGABYTE)


def test_a_streamed_answer_passes_as_it_comes(client: httpx.Client) -> None:
    with client.stream("GET", "/stream") as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first"
        client.get("/release")
        assert b"".join(pieces) == b"last"


def test_headers_of_one_connection_stay_there_and_all_others_pass_untouched(client: httpx.Client) -> None:
    own = {"X-Request-ID": "mine", "Accept-Encoding": "br", "Connection": "keep-alive, X-Hop", "X-Hop": "no"}
    target = "/told/a%2Fb//%C3%A9?x=%20+&y"
    answer = client.get(target, headers=own | {"TE": "trailers", "X-Forwarded-For": "9.9.9.9"})
    told = answer.json()
    sent = told["headers"]
    assert told["target"] == target
    assert ["x-request-id", "mine"] in sent
    assert ["accept-encoding", "br"] in sent
    assert ["host", str(client.base_url.netloc, "ascii")] in sent
    assert [value for name, value in sent if name == "x-forwarded-for"] == ["9.9.9.9", HERE]
    assert not {"te", "x-hop", "content-type", "transfer-encoding"} & {name for name, _ in sent}
    assert answer.headers.get_list("Set-Cookie") == ["a=1", "b=2"]
    assert not {"x-own", "keep-alive"} & answer.headers.keys()


def test_no_header_is_added_but_who_asked(front: Running) -> None:
    with socket.create_connection((front.host, front.port)) as caller:
        caller.sendall(b"POST /told HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        answer = caller.makefile("rb").read()
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert sorted(told["headers"]) == [["content-length", "2"], ["host", "here"], ["x-forwarded-for", HERE]]


def test_cookies_of_one_caller_are_not_given_to_another(front: Running) -> None:
    assert httpx.get(f"{front.address}/told").cookies
    assert "cookie" not in {name for name, _ in httpx.get(f"{front.address}/told").json()["headers"]}


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "PATCH"])
def test_every_method_passes(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/told")
    assert answer.status_code == 200
    assert answer.content == b"" if method == "HEAD" else answer.json()["method"] == method


def test_an_answer_before_the_body_has_come_passes(client: httpx.Client) -> None:
    assert client.post("/refuse", content=MEGABYTE).status_code == 413
    assert client.get("/model").json()["bento"] == "tiny:1"


@pytest.mark.parametrize("how", ["", "?length=10"])
def test_half_an_answer_never_looks_like_a_whole_one(client: httpx.Client, how: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(f"/cut{how}")


def test_who_hangs_up_is_hung_up_on_behind_the_door(client: httpx.Client, front: Running, run: Path) -> None:
    with socket.create_connection((front.host, front.port)) as caller:
        caller.sendall(b"GET /hang HTTP/1.1\r\nHost: here\r\n\r\n")
        kit.eventually(lambda: _counts(client).get("asked") == 1, 10, background.log_file(FRONT, run))
    kit.eventually(lambda: _counts(client).get("hung up") == 1, 10, background.log_file(FRONT, run))


def _counts(client: httpx.Client) -> Mapping[str, int]:
    counts: Mapping[str, int] = client.get("/release").json()
    return counts


def test_what_may_have_been_worked_on_is_not_sent_again(client: httpx.Client) -> None:
    before = _counts(client).get("dropped", 0)
    answer = client.post("/drop", content=b"{}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
    assert answer.headers["Retry-After"] == "2"
    assert answer.json()["instance"] == "/drop"
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    assert _counts(client)["dropped"] == before + 1


def test_a_target_never_names_another_host(client: httpx.Client, front: Running) -> None:
    with socket.create_server((HERE, 0)) as elsewhere:
        elsewhere.settimeout(0.3)
        port = elsewhere.getsockname()[1]
        for target in (f"@{HERE}:{port}/", f"http://{HERE}:{port}/told", f"//{HERE}:{port}/told"):
            with socket.create_connection((front.host, front.port)) as caller:
                caller.sendall(f"GET {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
                assert caller.recv(12).startswith(b"HTTP/1.")
        with pytest.raises(TimeoutError):
            elsewhere.accept()
