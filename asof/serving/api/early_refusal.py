"""Load shedding in the parser: at capacity, a request is answered as soon as its head is read.

uvicorn would create a cycle and a task for it, and write its answer in two parts, which takes most of the time of a
refusal. Requests of other forms (pipelined, other addresses of the path) are refused by `LoadShedding`.
"""

import asyncio
from typing import Any

import uvicorn.protocols.http.auto
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from asof.serving.access.header_limits import BoundedHeadProtocol
from asof.serving.api.load_shedding import LoadShedding


class Refused:
    """In place of uvicorn's cycle, on a connection whose first request is refused."""

    response_started = response_complete = True

    def __init__(self) -> None:
        self.message_event = asyncio.Event()


class SheddingProtocol(BoundedHeadProtocol):
    """One for each connection. The body of a refused request is parsed and discarded, as uvicorn does."""

    shedding: LoadShedding
    cycle: Any

    def on_headers_complete(self) -> None:
        if not self._is_prediction() or self.shedding.admits(self.loop):
            super().on_headers_complete()
        else:
            self._in_section = self._answerable = False
            self._refuse()

    def _is_prediction(self) -> bool:
        """Whether this is a plain POST, and everything before it is answered and received."""
        parser, before = self.parser, self.cycle
        plain = self.url == self.shedding.raw_path and parser.get_method() == b"POST" and not parser.should_upgrade()
        return plain and not self.flow.write_paused and (before is None or before.response_complete)

    def _refuse(self) -> None:
        parser, self.cycle = self.parser, self.cycle or Refused()
        keeps = parser.should_keep_alive() and parser.get_http_version() != "1.0"
        status, headers, body = self.shedding.refusal(dict(self.scope))
        connection = () if keeps else ((b"connection", b"close"),)
        every = (*self.server_state.default_headers, *headers, *connection)
        lines = b"".join([b"%b: %b\r\n" % header for header in every])
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)
        if not keeps:
            self.transport.close()
        self.on_response_complete()


def shed_early(shedding: LoadShedding) -> None:
    """Applies it to all of uvicorn's servers in this process, as `limit_headers` does its limits."""
    SheddingProtocol.shedding = shedding
    uvicorn.protocols.http.auto.AutoHTTPProtocol = SheddingProtocol
