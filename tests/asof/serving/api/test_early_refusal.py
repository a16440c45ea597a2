"""Refusals of the parser under a real uvicorn: the same as those of the application, on connections that go on."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest
import uvicorn
from starlette.datastructures import State
from starlette.types import Receive, Scope, Send

from asof.serving.api.early_refusal import SheddingProtocol
from asof.serving.api.load_shedding import LoadShedding
from asof.serving.http.concurrency_limit import ConcurrencyLimit
from local.ports import any_free_port

POST = b"POST %b HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine-1\r\n%bContent-Length: %d\r\n\r\n%b"
CHUNKED = b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def post(path: bytes = b"/predict", body: bytes = b"{}", headers: bytes = b"") -> bytes:
    return POST % (path, headers, len(body), body)


class Service:
    """An application that echoes bodies, of whose two slots none is free until `release` is called."""

    def __init__(self) -> None:
        self.limit, self.shed, self.heard = ConcurrencyLimit(2), 0, list[str]()
        self._held = [self.limit.slot() for _ in range(2)]
        for slot in self._held:
            slot.__enter__()
        metrics = SimpleNamespace(shed=SimpleNamespace(inc=self._count))
        live = SimpleNamespace(worker=SimpleNamespace(concurrency_limit=self.limit, metrics=metrics))
        self.shedding = LoadShedding(self._application, path="/predict", state=State({"live": live}))

    def release(self) -> None:
        for slot in self._held:
            slot.__exit__(None, None, None)

    def _count(self) -> None:
        self.shed += 1

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.heard.append(scope["method"])
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        answer = b"<" + body + b">"
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


class Caller:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, request: bytes, count: int = 1) -> list[bytes]:
        """The responses, without their dates."""
        self._writer.write(request)
        return [await self._response() for _ in range(count)]

    async def _response(self) -> bytes:
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"date:")]
        length = next(int(line.partition(b": ")[2]) for line in lines if line.startswith(b"content-length"))
        return b"\r\n".join(lines) + await self._reader.readexactly(length)

    async def is_closed(self) -> bool:
        return await self._reader.read() == b""


Talk = Callable[[Service, Caller], Awaitable[None]]


def talk(with_service: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        service, port = Service(), any_free_port("127.0.0.1")
        monkeypatch.setattr(SheddingProtocol, "shedding", service.shedding, raising=False)
        config = uvicorn.Config(
            service.shedding, port=port, http=SheddingProtocol, lifespan="off", log_level="critical"
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.wait_for(with_service(service, Caller(reader, writer)), 30)
        finally:
            writer.close()
            server.should_exit = True
            await serving

    asyncio.run(run())


def test_the_parser_refuses_as_the_application_does(monkeypatch: pytest.MonkeyPatch) -> None:
    async def compare(service: Service, caller: Caller) -> None:
        (early,) = await caller.ask(post())
        (late,) = await caller.ask(post(b"/predict?"))
        assert early.startswith(b"HTTP/1.1 429 ")
        assert sorted(early.split(b"\r\n")) == sorted(late.split(b"\r\n"))
        assert (service.shed, service.heard) == (2, [])

    talk(compare, monkeypatch)


@pytest.mark.parametrize(
    "refused",
    [post(body=b"a" * 200_000), CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", post(headers=b"Expect: 100-continue\r\n")],
    ids=["long", "chunks", "expected"],
)
def test_the_body_of_a_refused_request_is_no_part_of_the_next(refused: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go_on(service: Service, caller: Caller) -> None:
        (first,) = await caller.ask(refused)
        assert first.startswith(b"HTTP/1.1 429 ")
        service.release()
        (second,) = await caller.ask(post(body=b"ours"))
        assert second.endswith(b"<ours>")

    talk(go_on, monkeypatch)


def test_pipelined_requests_are_answered_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pipeline(_: Service, caller: Caller) -> None:
        responses = await caller.ask(post(b"/model", b"first") + post() + post(b"/model", b"third") + post(), 4)
        assert [response[9:12] for response in responses] == [b"200", b"429", b"200", b"429"]
        assert responses[2].endswith(b"<third>")

    talk(pipeline, monkeypatch)


@pytest.mark.parametrize("request_", [post(headers=b"Connection: close\r\n"), post().replace(b"1.1", b"1.0")])
def test_a_refusal_ends_the_connections_that_its_caller_ends(request_: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def end(_: Service, caller: Caller) -> None:
        (response,) = await caller.ask(request_)
        assert response.startswith(b"HTTP/1.1 429 ")
        assert b"connection: close" in response
        assert await caller.is_closed()

    talk(end, monkeypatch)


def test_a_refused_body_that_breaks_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_off(_: Service, caller: Caller) -> None:
        (response,) = await caller.ask(CHUNKED + b"zz\r\n")
        assert response.startswith(b"HTTP/1.1 429 ")
        assert await caller.is_closed()

    talk(break_off, monkeypatch)


def test_one_round_of_the_loop_admits_no_more_than_have_room() -> None:
    service, rounds = Service(), list[Callable[[], None]]()
    loop = SimpleNamespace(call_soon=rounds.append)
    assert not service.shedding.admits(loop)  # type: ignore[arg-type]
    service.release()
    assert [service.shedding.admits(loop) for _ in range(3)] == [True, True, False]  # type: ignore[arg-type]
    for forget in rounds:
        forget()
    assert service.shedding.admits(loop)  # type: ignore[arg-type]
