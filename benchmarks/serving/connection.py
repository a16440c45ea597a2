"""One HTTP/1.1 connection that is kept alive: bytes of a request in, status and body of its answer out.

As little work as possible, for the load shares the machine with what it measures: no headers are parsed but those that
say where an answer ends.
"""

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

Answered = Callable[[int, bytes], None]
LOST = 0
"""The status of an answer that never came: the connection was lost."""


class Connection(asyncio.Protocol):
    """At most one request is on its way; `ask` is called again only after its answer."""

    __slots__ = ("_answered", "_kept", "_transport", "alive")

    def __init__(self) -> None:
        self._kept = b""
        self._answered: Answered | None = None
        self.alive = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self.alive = True

    def ask(self, request: bytes, answered: Answered) -> None:
        """Sends a whole request; `answered` is called once."""
        self._answered = answered
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._kept:
            data = self._kept + data
        head = data.find(b"\r\n\r\n")
        end = _end(data, head) if head >= 0 else -1
        if end < 0 or len(data) < end:
            self._kept = data
            return
        self._kept = b""
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(int(data[9:12]), data[head + 4 : end])

    def connection_lost(self, _: Exception | None) -> None:
        self.alive = False
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(LOST, b"")

    def close(self) -> None:
        """Whoever waits for an answer is not told."""
        self._answered = None
        if self.alive:
            self._transport.close()


def _end(data: bytes, head: int) -> int:
    """Where the answer ends; -1 where that is not known yet."""
    headers = data[:head].lower()
    place = headers.find(b"\r\ncontent-length:")
    if place >= 0:
        stop = headers.find(b"\r\n", place + 17)
        return head + 4 + int(headers[place + 17 : stop if stop >= 0 else head])
    if b"\r\ntransfer-encoding:" in headers:  # in pieces, of which the last one is empty
        return len(data) if data.endswith(b"\r\n0\r\n\r\n") else -1
    return head + 4


async def connect(url: str) -> Connection:
    """A connection to the URL's host and port. Raises OSError where nobody listens."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, parts.hostname or "", parts.port or 80)
    return connection


def request_bytes(url: str, body: bytes) -> bytes:
    """A POST of a JSON body, as it goes over the wire."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
