"""A persistent HTTP/1.1 connection: bytes of a request in, status and body of the response out.

It does as little as possible, because the load shares the machine with what it measures: only the headers that give the
length of a response are parsed.
"""

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

OnResponse = Callable[[int, bytes], None]
LOST = 0
"""The status of a request whose connection was lost."""


class Connection(asyncio.Protocol):
    """One request at a time."""

    __slots__ = ("_buffer", "_on_response", "_transport", "alive")

    def __init__(self) -> None:
        self._buffer = b""
        self._on_response: OnResponse | None = None
        self.alive = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self.alive = True

    def send(self, request: bytes, on_response: OnResponse) -> None:
        """Sends a whole request; `on_response` is called once, with status and body."""
        self._on_response = on_response
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        head = data.find(b"\r\n\r\n")
        end = _end(data, head) if head >= 0 else -1
        if end < 0 or len(data) < end:
            self._buffer = data
            return
        self._buffer = b""
        on_response, self._on_response = self._on_response, None
        if on_response is not None:
            on_response(int(data[9:12]), data[head + 4 : end])

    def connection_lost(self, _: Exception | None) -> None:
        self.alive = False
        on_response, self._on_response = self._on_response, None
        if on_response is not None:
            on_response(LOST, b"")

    def close(self) -> None:
        """Without a call of `on_response`."""
        self._on_response = None
        if self.alive:
            self._transport.close()


def _end(data: bytes, head: int) -> int:
    """The end of the response; -1 if it is not known yet."""
    headers = data[:head].lower()
    place = headers.find(b"\r\ncontent-length:")
    if place >= 0:
        stop = headers.find(b"\r\n", place + 17)
        return head + 4 + int(headers[place + 17 : stop if stop >= 0 else head])
    if b"\r\ntransfer-encoding:" in headers:  # the last chunk is empty
        return len(data) if data.endswith(b"\r\n0\r\n\r\n") else -1
    return head + 4


async def connect(url: str) -> Connection:
    """A connection to the URL's host and port. Raises OSError."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, parts.hostname or "", parts.port or 80)
    return connection


def request_bytes(url: str, body: bytes) -> bytes:
    """A POST of a JSON body."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
