"""Limits of a request's line and headers, which uvicorn, BentoML's server, does not have.

uvicorn's protocol on httptools, extended: it answers a too long head with a 414 or 431 problem before the application
sees the request, and whatever the parser refuses with a 400 problem. What the client still sends then is read for a
moment and discarded, since a client may never see the response if the connection is closed while it sends (RFC 9112,
9.6).
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

MAX_URL_BYTES, MAX_HEAD_BYTES = 8 * 1024, 32 * 1024
"""As proxies have by default (nginx 8 KiB a line and 32 in all, Apache 8 KiB a line)."""
LINGER_SECONDS = 1.0
DETAILS = {
    400: "The request is not valid HTTP/1.1: check its request line (an address is percent-encoded), its headers "
    "and how its body is framed.",
    414: f"The address is longer than {MAX_URL_BYTES} bytes.",
    431: f"The request's line and headers are longer than {MAX_HEAD_BYTES} bytes.",
}
UPGRADE_HEADERS = frozenset({b"connection", b"upgrade", b"http2-settings"})
NO_SCOPE: Scope = {"headers": ()}
"""Of a connection on which no request line was begun."""


class TooLong(Exception):
    """Stops the parser."""


class BoundedHeadProtocol(HttpToolsProtocol):
    """One for each connection. A section is a sequence of headers: a request's head, or its trailer."""

    refused: Counter
    url = _data = b""
    _sections, _in_section, _head_bytes, _open_bytes, _status, _answerable = 0, False, 0, 0, 0, True

    def data_received(self, data: bytes) -> None:
        if self._status:
            return  # lingering
        section, self._data = self._sections if self._in_section else 0, data
        super().data_received(data)
        # The parser reports a header only when it is complete: count the bytes of an open section.
        if self._in_section and self._sections == section and not self._status:
            self._open_bytes += len(data)
            if self._open_bytes > MAX_HEAD_BYTES:
                self._status = 431
                self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes, self._answerable = 0, True
        self._begin_section()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._stop(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes + len(self.url) > MAX_HEAD_BYTES:
            self._stop(431)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.get_method() == b"CONNECT":  # this is no proxy
            self._stop(400)
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            self._in_section = self._answerable = False

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_chunk_header(self) -> None:
        """The last chunk may be followed by a trailer, whose headers count with those of the head."""
        self._begin_section()

    def on_body(self, body: bytes) -> None:
        self._in_section = False
        super().on_body(body)

    def on_chunk_complete(self) -> None:
        self._in_section = False

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's text is always the same
        """Called by uvicorn where the parser fails: sends a problem, unless earlier responses are on their way."""
        self._status = self._status or 400
        if self._answerable and (self.cycle is None or self.cycle.response_complete):
            self._answer(self.scope)
        elif self._answerable:
            self.cycle.keep_alive = False  # earlier requests are answered, and then the connection is closed
        elif not (self.pipeline or self.cycle.response_started):
            self._answer(self.cycle.scope)
            self.cycle.disconnected = True  # the application waits for the rest of the body
            self.cycle.message_event.set()
        else:
            self.transport.close()

    def _should_upgrade_to_ws(self) -> bool:
        """No path supports WebSockets."""
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """Parses a request again without its upgrade to another protocol (RFC 9110, 7.8): HTTP/2, WebSocket.

        Otherwise the parser would leave the body to that protocol. Java's client offers HTTP/2 with every request.
        """
        raised = sys.exception()
        assert isinstance(raised, HttpParserUpgrade)  # noqa: S101 - uvicorn calls this where it was raised
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = [b"%b: %b" % header for header in self.headers if header[0] not in UPGRADE_HEADERS]
        if not self.parser.should_keep_alive():
            kept.append(b"connection: close")
        self.parser = HttpRequestParser(self)
        self.data_received(b"\r\n".join([line, *kept, b"", self._data[raised.args[0] :]]))

    def _begin_section(self) -> None:
        self._sections, self._in_section, self._open_bytes = self._sections + 1, True, 0

    def _stop(self, status: int) -> None:
        self._status = status
        raise TooLong

    def _answer(self, http_scope: HTTPScope | None) -> None:
        scope = dict(http_scope or NO_SCOPE)
        request_id = scope.get("state", {}).get("request_id") or request_id_of(scope)
        where = Occurrence(self.url[:120].decode("latin-1").partition("?")[0], request_id)
        document = problem(BY_STATUS[self._status], DETAILS[self._status], where)
        body = document.model_dump_json(exclude_none=True).encode()
        headers = (
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        )
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(STATUS_LINE[self._status] + lines + b"\r\n" + body)
        self.refused.labels(document.code).inc()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


def limit_headers(refused: Counter) -> None:
    """Applies the limits to all of uvicorn's servers in this process.

    BentoML creates uvicorn's configuration, which uses the protocol of this name.
    """
    BoundedHeadProtocol.refused = refused
    uvicorn.protocols.http.auto.AutoHTTPProtocol = BoundedHeadProtocol
