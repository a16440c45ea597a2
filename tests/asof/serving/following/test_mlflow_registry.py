"""A server at the registry's address whose responses are compressed, endless, slow or redirected."""

import asyncio
import contextlib
import gzip
import itertools
import json
import socketserver
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from asof import bounded_http
from asof.bounded_http import CompressedResponse, OversizedResponse
from asof.errors import ConfigurationError, RegistryUnavailable, UntrustedModel
from asof.serving.following import mlflow_registry as registry
from asof.serving.following.mlflow_registry import MlflowRegistry, ProductionVersion
from doctor import http as doctor
from training.tracking import address as tracking_address

Result = TypeVar("Result")
ANSWER = {"model_version": {"name": "m", "version": "3", "run_id": "r", "source": f"models:/m-{'0' * 32}"}}
VERSION = json.dumps(ANSWER).encode()
IN_PRODUCTION = ProductionVersion(version="3", run_id="r", source=ANSWER["model_version"]["source"])
BOMB = gzip.compress(gzip.compress(bytes(32 << 20)))
"""32 MiB in 130 bytes."""
CODINGS = ["gzip", "gzip, gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip"]
Serve = Callable[..., "Server"]


def head(*headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers, "", ""]
    return "\r\n".join(lines).encode()


def without_end(first: bytes, piece: bytes, pause: float = 0) -> Iterator[bytes]:
    yield first
    while True:
        yield piece
        time.sleep(pause)


class Server(socketserver.ThreadingTCPServer):
    """Sends these bytes to each connection, and closes it."""

    daemon_threads = True
    asked = b""

    def __init__(self, *pieces: bytes, then: Iterable[bytes] = ()) -> None:
        super().__init__(("127.0.0.1", 0), Talk)
        self.pieces = itertools.chain(pieces, then)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"


class Talk(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        while not self.server.asked.endswith(b"\r\n\r\n"):
            self.server.asked += self.rfile.readline()
        with contextlib.suppress(OSError):
            for piece in self.server.pieces:
                self.wfile.write(piece)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with contextlib.ExitStack() as stack:

        def start(*pieces: bytes, then: Iterable[bytes] = ()) -> Server:
            server = stack.enter_context(Server(*pieces, then=then))
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            stack.callback(server.shutdown)
            return server

        yield start


def asked(server: Server, ask: Callable[[MlflowRegistry], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        client = MlflowRegistry(server.address, "m", {})
        try:
            return await ask(client)
        finally:
            await client.close()

    return asyncio.run(run())


def packed(coding: str, status: str = "200 OK") -> bytes:
    return head(f"Content-Encoding: {coding}", f"Content-Length: {len(BOMB)}", status=status) + BOMB


def plain(body: bytes, *headers: str) -> bytes:
    return head(f"Content-Length: {len(body)}", *headers) + body


def test_an_uncompressed_response_is_read_and_requested(serve: Serve) -> None:
    server = serve(plain(VERSION))
    assert asked(server, MlflowRegistry.production_version) == IN_PRODUCTION
    assert b"accept-encoding: identity\r\n" in server.asked.lower()


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_response_is_refused(serve: Serve, coding: str) -> None:
    with pytest.raises(RegistryUnavailable, match="compressed"):
        asked(serve(packed(coding)), MlflowRegistry.production_version)


def test_compressed_files_of_a_model_are_refused(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(RegistryUnavailable, match="compressed"):
        asked(serve(packed("gzip, gzip")), lambda client: client.fetch(IN_PRODUCTION, tmp_path))


def test_a_response_with_the_coding_identity_is_read(serve: Serve) -> None:
    assert (
        asked(serve(plain(VERSION, "Content-Encoding: Identity")), MlflowRegistry.production_version) == IN_PRODUCTION
    )


@pytest.mark.parametrize(
    "ask", [MlflowRegistry.production_version, lambda client: client.fetch(IN_PRODUCTION, Path("nowhere"))]
)
def test_an_endless_response_is_abandoned(serve: Serve, ask: Callable[[MlflowRegistry], Awaitable[Any]]) -> None:
    with pytest.raises((RegistryUnavailable, UntrustedModel)):
        asked(serve(then=without_end(head(), b" " * 65536)), ask)


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (head("Content-Length: 1000"), b" "),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (head("Transfer-Encoding: chunked"), b"1\r\n \r\n"),
    ],
    ids=["drips", "goes on to say 100", "has headers without an end", "drips in chunks"],
)
def test_a_slow_response_is_abandoned(
    serve: Serve, first: bytes, piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "POLL_TIMEOUT", 0.3)
    with pytest.raises(RegistryUnavailable, match=r"within 0\.3 s"):
        asked(serve(then=without_end(first, piece, 0.01)), MlflowRegistry.production_version)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_a_redirect_is_not_followed(serve: Serve, status: str) -> None:
    elsewhere = serve(plain(VERSION))
    redirect = head(f"Location: {elsewhere.address}/", "Content-Length: 0", status=status)
    with pytest.raises(RegistryUnavailable, match=f"answered {status[:3]}"):
        asked(serve(redirect), MlflowRegistry.production_version)
    assert not elsewhere.asked


def test_an_oversized_response_is_not_parsed(serve: Serve) -> None:
    with pytest.raises(RegistryUnavailable, match="no valid model version"):
        asked(serve(plain(VERSION[:-1] + b" " * registry.MAX_JSON_BYTES + b"}")), MlflowRegistry.production_version)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_single_request_refuses_a_compressed_response(serve: Serve, coding: str) -> None:
    with pytest.raises(CompressedResponse):
        bounded_http.request("GET", serve(packed(coding)).address, timeout=5)
    assert "compressed" in doctor.get(serve(packed(coding)).address, "/").trouble


def test_a_single_request_has_a_size_limit(serve: Serve) -> None:
    with pytest.raises(OversizedResponse):
        bounded_http.request("GET", serve(then=without_end(head(), b" " * 65536)).address, timeout=5)


def test_a_single_request_has_a_time_limit(serve: Serve) -> None:
    with pytest.raises(httpx.ReadTimeout):
        bounded_http.request("GET", serve(then=without_end(head(), b" ", 0.01)).address, timeout=0.3)


def test_a_single_request_returns_a_whole_response(serve: Serve) -> None:
    answer = bounded_http.request("GET", serve(plain(VERSION)).address, timeout=5)
    assert (answer.status_code, answer.json()) == (200, ANSWER)


def test_a_compressed_refusal_of_a_tracking_server_is_not_decompressed(serve: Serve) -> None:
    server = serve(packed("gzip, gzip", status="403 Forbidden"))
    with pytest.raises(ConfigurationError, match="status 403"):
        tracking_address.check_tracking_address(server.address)
    assert b"accept-encoding: identity\r\n" in server.asked.lower()
