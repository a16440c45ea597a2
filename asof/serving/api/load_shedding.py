"""The outermost layer: where a worker is at capacity, a prediction is refused before anything else is done.

At three times a worker's capacity two of three requests are refused, at the expense of the others. So a refusal is made
of ready bytes, where no API keys are set by the parser itself (`early_refusal`); it is not logged in the access log.
"""

import asyncio
from typing import TYPE_CHECKING

from starlette.datastructures import State
from starlette.types import ASGIApp, Receive, Scope, Send

from asof.errors import Overloaded
from asof.serving.http.boundary import RAW_REQUEST_ID, problem_response, request_id_of
from asof.serving.http.concurrency_limit import AT_CAPACITY, ConcurrencyLimit
from asof.serving.http.problems import Occurrence, describe

if TYPE_CHECKING:
    from asof.serving.prediction.live import LiveModel

PLACEHOLDER = "REQUEST-ID"
"""Stands for the request's id in the prepared document."""


class LoadShedding:
    """ASGI application around the whole service; `state.live` is set once the worker has started."""

    def __init__(self, app: ASGIApp, *, path: str, state: State) -> None:
        self.app, self.path, self.raw_path, self._state = app, path, path.encode(), state
        self._arriving = 0
        self._document, headers = describe(Overloaded(AT_CAPACITY), Occurrence(path, PLACEHOLDER))
        response = problem_response(self._document, headers)
        self._before, self._after = bytes(response.body).split(PLACEHOLDER.encode())
        self._headers = [(name, value) for name, value in response.raw_headers if name != b"content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._limit
        if scope["type"] == "http" and scope["path"] == self.path and limit and limit.full:
            status, headers, body = self.refusal(scope)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        else:
            await self.app(scope, receive, send)

    def admits(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether a prediction that was just read has room beside the others of the same round of the loop.

        Those reach the limit only in the next round, by which `full` alone would admit all of a burst.
        """
        limit = self._limit
        if limit is None:
            return True
        if limit.room <= self._arriving:
            return False
        if not self._arriving:
            loop.call_soon(self._forget_arriving)
        self._arriving += 1
        return True

    def refusal(self, scope: Scope) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Status, headers and body of a response, which is counted."""
        raw_id = request_id_of(scope).encode()
        body = self._before + raw_id + self._after
        headers = [*self._headers, (b"content-length", b"%d" % len(body)), (RAW_REQUEST_ID, raw_id)]
        self._state.live.worker.metrics.shed.inc()
        return self._document.status, headers, body

    @property
    def _limit(self) -> ConcurrencyLimit | None:
        live: LiveModel | None = getattr(self._state, "live", None)
        return live.worker.concurrency_limit if live else None

    def _forget_arriving(self) -> None:
        self._arriving = 0
