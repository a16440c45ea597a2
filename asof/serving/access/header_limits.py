"""How long a request's line and headers may be: uvicorn, which BentoML serves with, keeps them all, however many.

In comes uvicorn's protocol on httptools, out comes the same with a 414 or 431 problem where a head is too long, before
the application learns of the request, and a 400 problem where the parser refuses what was sent. What the caller still
sends then is read for a moment and thrown away: a caller whose connection is closed while it sends may never see the
answer (RFC 9112, 9.6).
"""

import sys

import uvicorn.protocols.http.auto
from httptools import HttpParserUpgrade, HttpRequestParser
from prometheus_client import Counter
from starlette.types import Scope
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from asof.serving.http.boundary import request_id_of
from asof.serving.http.problems import BY_STATUS, MEDIA_TYPE, Occurrence, problem

MOST_URL, MOST_HEAD = 8 * 1024, 32 * 1024
"""Bytes; what proxies take by default (nginx 8 KiB a line and 32 in all, Apache 8 KiB a line)."""
LINGER = 1.0
"""Seconds."""
TEXTS = {
    400: "The request is not valid HTTP/1.1: check its request line (an address is percent-encoded), its headers "
    "and how its body is framed.",
    414: f"The address is longer than {MOST_URL} bytes.",
    431: f"The request's line and headers are longer than {MOST_HEAD} bytes.",
}
OF_AN_UPGRADE = frozenset({b"connection", b"upgrade", b"http2-settings"})
NO_SCOPE: Scope = {"headers": ()}
"""Where not even a request's line was begun."""


class TooLong(Exception):
    """Stops the parser."""


class BoundedHead(HttpToolsProtocol):
    """One for each connection. A part is what holds headers: a request's head, or its trailer."""

    refused: Counter
    url = _data = b""
    _parts, _in_part, _head, _chunk, _status, _answerable = 0, False, 0, 0, 0, True

    def data_received(self, data: bytes) -> None:
        if self._status:
            return  # lingering
        begun, self._data = self._parts if self._in_part else 0, data
        super().data_received(data)
        # A header of which no end has come is in no callback yet.
        if self._in_part and self._parts == begun and not self._status:
            self._chunk += len(data)
            if self._chunk > MOST_HEAD:
                self._status = 431
                self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head, self._answerable = 0, True
        self._begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MOST_URL:
            self._stop(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value) + 4
        if self._head + len(self.url) > MOST_HEAD:
            self._stop(431)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.get_method() == b"CONNECT":  # this is no proxy
            self._stop(400)
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            self._in_part = self._answerable = False

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_chunk_header(self) -> None:
        """After the last chunk's come headers again, the trailer: they are bounded as the others, and with them."""
        self._begin()

    def on_body(self, body: bytes) -> None:
        self._in_part = False
        super().on_body(body)

    def on_chunk_complete(self) -> None:
        self._in_part = False

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words, for each refusal the same
        """What uvicorn sends where the parser stops: a problem, or nothing where other answers are on their way."""
        self._status = self._status or 400
        if self._answerable and (self.cycle is None or self.cycle.response_complete):
            self._answer(self.scope)
        elif self._answerable:
            self.cycle.keep_alive = False  # those before it are answered, and then the connection ends
        elif not (self.pipeline or self.cycle.response_started):
            self._answer(self.cycle.scope)
            self.cycle.disconnected = True  # the application waits for the rest of a body that will not come
            self.cycle.message_event.set()
        else:
            self.transport.close()

    def _should_upgrade_to_ws(self) -> bool:
        """No address takes a WebSocket."""
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """Parses a request once more, without its wish for another protocol (RFC 9110, 7.8): HTTP/2, WebSocket.

        With it, the parser would take the body for the other protocol's. Java's client asks for HTTP/2 every time.
        """
        stopped = sys.exception()
        assert isinstance(stopped, HttpParserUpgrade)  # noqa: S101 - uvicorn calls this where it was raised
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = [b"%b: %b" % header for header in self.headers if header[0] not in OF_AN_UPGRADE]
        if not self.parser.should_keep_alive():
            kept.append(b"connection: close")
        self.parser = HttpRequestParser(self)
        self.data_received(b"\r\n".join([line, *kept, b"", self._data[stopped.args[0] :]]))

    def _begin(self) -> None:
        self._parts, self._in_part, self._chunk = self._parts + 1, True, 0

    def _stop(self, status: int) -> None:
        self._status = status
        raise TooLong

    def _answer(self, scope: HTTPScope | None) -> None:
        kind = BY_STATUS[self._status]
        where = Occurrence(self.url[:120].decode("latin-1").partition("?")[0], _id(dict(scope or NO_SCOPE)))
        document = problem(kind, TEXTS[self._status], where)
        body = document.model_dump_json(exclude_none=True).encode()
        headers = (
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", where.request_id.encode()),
            (b"connection", b"close"),
        )
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(STATUS_LINE[self._status] + lines + b"\r\n" + body)
        self.refused.labels(kind.code).inc()
        self.loop.call_later(LINGER, self.transport.close)


def _id(scope: Scope) -> str:
    """The request's id where the application has given it one, else as the boundary would."""
    own: str = scope.get("state", {}).get("request_id") or request_id_of(scope)
    return own


def bound_heads(refused: Counter) -> None:
    """From now on uvicorn's servers of this process take no longer heads.

    BentoML makes uvicorn's configuration itself, with the protocol that uvicorn picks by this name.
    """
    BoundedHead.refused = refused
    uvicorn.protocols.http.auto.AutoHTTPProtocol = BoundedHead
