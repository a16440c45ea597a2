"""Header limits under a real uvicorn: trailers are bounded as headers are; each refusal of the parser is a problem."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
from prometheus_client import CollectorRegistry, Counter
from starlette.types import Receive, Scope, Send

from asof.serving.access.header_limits import MAX_HEAD_BYTES, BoundedHeadProtocol
from local.ports import any_free_port

CHUNKED = b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes]]


async def _application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/echo":
        scope["state"]["request_id"] = "of-the-application"
        await _echo(receive, send)
        return
    while scope["path"] == "/read" and (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def _echo(receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"<" + body + b">"})


def talk(with_server: Talk) -> bytes:
    async def run() -> bytes:
        port = any_free_port("127.0.0.1")
        config = uvicorn.Config(_application, port=port, http=BoundedHeadProtocol, lifespan="off", log_level="critical")
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
    monkeypatch.setattr(BoundedHeadProtocol, "refused", refused, raising=False)


@pytest.mark.parametrize("path", [b"/read", b"/answered-already"])
@pytest.mark.parametrize(
    "piece", [b"a" * 65536, b"X: y\r\n" * 10000], ids=["a header without an end", "headers without an end"]
)
def test_a_trailer_without_an_end_closes_the_connection(path: bytes, piece: bytes) -> None:
    async def send_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(CHUNKED % path + b"1\r\na\r\n0\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(piece)
                await writer.drain()
        return b"closed"

    assert talk(send_on) == b"closed"


@pytest.mark.parametrize("trailer", [b"X: %b\r\n\r\n" % (b"a" * 40000), b"X: y\r\n" * 10000 + b"\r\n"])
def test_a_trailer_that_is_too_long_gets_a_problem_while_its_body_is_waited_for(trailer: bytes) -> None:
    document = refusal(answers(CHUNKED % b"/echo" + b"1\r\na\r\n0\r\n", trailer))
    assert (document["code"], document["request_id"]) == ("headers-too-large", "of-the-application")


def test_a_short_trailer_and_bodies_in_any_pieces_come_in() -> None:
    """Each packet ends in the middle of a head or of a chunk's length, and is longer than a head may be."""
    body = b"b" * (2 * MAX_HEAD_BYTES)
    whole = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    chunk = b"%x\r\n%b\r\n" % (len(body), body)
    requests = [whole] * 3 + [CHUNKED % b"/read" + chunk * 3 + b"0\r\nX-Sum: 1\r\n\r\n"]

    async def send_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        sent, received = b"".join(requests), b""
        cuts = [10 + len(whole) * number for number in range(4)]
        cuts += [cuts[-1] - 10 + len(CHUNKED % b"/read") + 2 + len(chunk) * number for number in range(4)]
        for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
            writer.write(sent[begin:end])
            await writer.drain()
            await asyncio.sleep(0.05)
        while received.count(b"\r\n\r\nok") < len(requests):
            piece = await reader.read(65536)
            if not piece:
                break
            received += piece
        return received

    assert talk(send_pieces).count(b"HTTP/1.1 200 OK") == len(requests)


def answers(*pieces: bytes, end: bytes = b"}", count: int = 1) -> bytes:
    """What a caller hears who sends these pieces, until it has heard the end so often, or is hung up on."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        heard = b""
        while heard.count(end) < count and (piece := await reader.read(65536)):
            heard += piece
        return heard

    return talk(send)


def refusal(heard: bytes) -> dict[str, str]:
    """The problem that is all the caller hears."""
    head, _, body = heard.partition(b"\r\n\r\n")
    document: dict[str, str] = json.loads(body)
    assert b"content-type: application/problem+json" in head
    assert f"x-request-id: {document['request_id']}".encode() in head
    assert b"connection: close" in head
    assert head.startswith(b"HTTP/1.1 %d " % document["status"])
    return document


MALFORMED = {
    "no request line": b"GARBAGE\r\n\r\n",
    "a name alone": b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    "two lengths": b"POST /echo HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a length and chunks": b"POST /echo HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": b"POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "a length that is no number": b"POST /echo HTTP/1.1\r\nContent-Length: 0x5\r\n\r\nhello",
    "a coding without an end": b"POST /echo HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nabc",
    "chunked, but not at last": b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "an address of bytes": b"GET /a\x80b HTTP/1.1\r\nHost: x\r\n\r\n",
    "an address that is none": b"GET http://[::1/x HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel to a path": b"CONNECT /echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel with a body": b"CONNECT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab",
    "another version": b"GET / HTTP/3.7\r\nHost: x\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_request_gets_a_problem(request_: bytes) -> None:
    document = refusal(answers(request_))
    assert (document["status"], document["code"]) == (400, "malformed-request")


@pytest.mark.parametrize("path", ["/features/José-1", "/features/CUST 0001"])
def test_an_address_as_people_type_it_is_refused_with_what_it_lacks(path: str) -> None:
    assert "percent-encoded" in refusal(answers(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()))["detail"]


@pytest.mark.parametrize("request_", [MALFORMED["no request line"], MALFORMED["a tunnel"]])
def test_a_malformed_request_behind_an_answered_one_gets_a_problem_too(request_: bytes) -> None:
    good = CHUNKED % b"/read" + b"0\r\n\r\n"
    first, _, second = answers(good, request_).partition(b"ok")
    assert first.startswith(b"HTTP/1.1 200 OK")
    assert refusal(second)["status"] == 400


@pytest.mark.parametrize("request_", [MALFORMED["no request line"], b"GET /%b HTTP/1.1\r\n\r\n" % (b"a" * 9000)])
def test_answers_that_are_on_their_way_arrive_before_a_malformed_request_ends_the_connection(request_: bytes) -> None:
    good = b"POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"
    heard = answers(good + good + request_, end=b"not to be heard")
    assert heard.count(b"<ab>") == 2
    assert heard.count(b"HTTP/1.1") == 2


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"1\r\nab\r\n", b"-1\r\n", b"1;\x00\r\na\r\n", b"f" * 20 + b"\r\n"])
def test_a_body_that_breaks_gets_a_problem_under_the_id_of_its_request(chunk: bytes) -> None:
    document = refusal(answers(CHUNKED % b"/echo", chunk))
    assert (document["code"], document["request_id"], document["instance"]) == (
        "malformed-request",
        "of-the-application",
        "/echo",
    )


def test_a_caller_keeps_its_own_id_where_it_was_read() -> None:
    document = refusal(answers(b"GET / HTTP/1.1\r\nX-Request-ID: mine-1\r\nX: y\r\nHost x\r\n\r\n"))
    assert document["request_id"] == "mine-1"


WISHES = {
    "HTTP/2": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
    "a WebSocket": b"Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "an unknown protocol": b"Upgrade: x/1\r\nConnection: upgrade\r\n",
}
BODIES = {
    "a length": (b"Content-Length: 3\r\n", b"abc", b"<abc>"),
    "chunks": (b"Transfer-Encoding: chunked\r\n", b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"<abc>"),
    "nothing": (b"", b"", b"<>"),
}


@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("together", [True, False])
def test_a_wish_for_another_protocol_costs_no_body(
    wish: bytes, body: tuple[bytes, bytes, bytes], together: bool
) -> None:
    framing, sent, echoed = body
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\n" + wish + framing + b"\r\n"
    pieces = [head + sent] if together else [head[:30], head[30:], sent[:2], sent[2:]]
    heard = answers(*pieces, *pieces, end=echoed, count=2)
    assert heard.count(b"HTTP/1.1 200 OK") == 2


def test_a_wish_for_another_protocol_leaves_the_wish_that_the_connection_ends() -> None:
    head = b"POST /echo HTTP/1.1\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\n"
    heard = answers(head + b"abc", end=b"not to be heard")
    assert b"connection: close" in heard
    assert heard.endswith(b"<abc>\r\n0\r\n\r\n")
