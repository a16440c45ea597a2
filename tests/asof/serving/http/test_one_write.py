"""A response's head and the first part of its body are one write; what follows is written when it is sent."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.types import Message, Scope
from uvicorn.protocols.http.flow_control import FlowControl

from asof.serving.http.one_write import OneWriteCycle

START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


def part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


class Recorded:
    """A transport that notes what is done with it."""

    def __init__(self) -> None:
        self.done: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.done


def done(messages: Sequence[Message], *, keep_alive: bool = True, method: str = "GET") -> list[bytes | str]:
    """What happens to the connection when an application sends these messages."""

    async def run() -> list[bytes | str]:
        transport: Any = Recorded()
        logger = logging.getLogger("uvicorn.test")
        scope: Any = {"type": "http", "method": method, "path": "/", "headers": []}
        cycle = OneWriteCycle(
            scope,
            transport,
            FlowControl(transport),
            logger,
            logger,
            False,
            [],
            asyncio.Event(),
            False,
            keep_alive,
            lambda: None,
        )

        async def app(_: Scope, __: Any, send: Any) -> None:
            for message in messages:
                await send(dict(message))

        await cycle.run_asgi(app)
        return list(transport.done)

    return asyncio.run(run())


def test_a_whole_response_is_one_write() -> None:
    (written,) = done([START, part(b"hello", more=False)])
    assert isinstance(written, bytes)
    assert written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert written.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


def test_later_parts_are_written_when_they_are_sent() -> None:
    first, *later = done([START, part(b"one", more=True), part(b"two", more=True), part(b"", more=False)])
    assert isinstance(first, bytes)
    assert first.endswith(b"3\r\none\r\n")
    assert later == [b"3\r\ntwo\r\n", b"0\r\n\r\n"]


def test_a_response_to_head_has_its_head() -> None:
    (written,) = done([START, part(b"", more=False)], method="HEAD")
    assert isinstance(written, bytes)
    assert written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert written.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("messages", [[START, part(b"bye", more=False)], [START]])
def test_before_the_connection_is_closed_everything_is_written(messages: list[Message]) -> None:
    *written, end = done(messages, keep_alive=False)
    assert end == "closed"
    assert b"".join(each for each in written if isinstance(each, bytes)).startswith(b"HTTP/1.1 200 OK\r\n")
