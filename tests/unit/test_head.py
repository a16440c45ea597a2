"""BoundedHead under a real uvicorn: trailers are bounded as heads are, and what is no head does not count as one."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
from prometheus_client import CollectorRegistry, Counter
from starlette.types import Receive, Scope, Send

from asof.serving.access.head import MOST_HEAD, BoundedHead
from local.ports import any_free_port

CHUNKED = b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes]]


async def _application(scope: Scope, receive: Receive, send: Send) -> None:
    while scope["path"] == "/read" and (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def talk(with_server: Talk) -> bytes:
    async def run() -> bytes:
        port = any_free_port("127.0.0.1")
        config = uvicorn.Config(_application, port=port, http=BoundedHead, lifespan="off", log_level="critical")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            return await asyncio.wait_for(with_server(reader, writer), 60)
        finally:
            writer.close()
            server.should_exit = True
            await serving

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def _counted(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Counter("refused", "", ["code"], registry=CollectorRegistry())
    monkeypatch.setattr(BoundedHead, "refused", refused, raising=False)


@pytest.mark.parametrize("path", [b"/read", b"/answered-already"])
@pytest.mark.parametrize(
    "piece", [b"a" * 65536, b"X: y\r\n" * 10000], ids=["a header without an end", "headers without an end"]
)
def test_a_trailer_without_an_end_closes_the_connection(path: bytes, piece: bytes) -> None:
    async def send_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(CHUNKED % path + b"1\r\na\r\n0\r\n")
        try:
            for _ in range(400):
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            return b"closed"
        return b"taken"

    assert talk(send_on) == b"closed"


def test_a_short_trailer_and_bodies_in_any_pieces_come_in() -> None:
    """Each packet ends in the middle of a head or of a chunk's length, and is longer than a head may be."""
    body = b"b" * (2 * MOST_HEAD)
    whole = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    chunk = b"%x\r\n%b\r\n" % (len(body), body)
    requests = [whole] * 3 + [CHUNKED % b"/read" + chunk * 3 + b"0\r\nX-Sum: 1\r\n\r\n"]

    async def send_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        sent, told = b"".join(requests), b""
        cuts = [10 + len(whole) * number for number in range(4)]
        cuts += [cuts[-1] - 10 + len(CHUNKED % b"/read") + 2 + len(chunk) * number for number in range(4)]
        for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
            writer.write(sent[begin:end])
            await writer.drain()
            await asyncio.sleep(0.05)
        while told.count(b"\r\n\r\nok") < len(requests):
            piece = await reader.read(65536)
            if not piece:
                break
            told += piece
        return told

    assert talk(send_pieces).count(b"HTTP/1.1 200 OK") == len(requests)
