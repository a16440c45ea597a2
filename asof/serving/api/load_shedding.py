"""The outermost layer: where a worker is at capacity, a prediction is refused before anything else is done.

At three times a worker's capacity two of three requests are refused, at the expense of the others. This refusal costs
little more than parsing the request; it is not logged in the access log.
"""

from typing import TYPE_CHECKING

from starlette.datastructures import State
from starlette.types import ASGIApp, Receive, Scope, Send

from asof.errors import Overloaded
from asof.serving.http.boundary import RAW_REQUEST_ID, problem_response, request_id_of
from asof.serving.http.concurrency_limit import AT_CAPACITY
from asof.serving.http.problems import Occurrence, describe

if TYPE_CHECKING:
    from asof.serving.prediction.live import LiveModel

PLACEHOLDER = "REQUEST-ID"
"""Stands for the request's id in the prepared document."""


class LoadShedding:
    """ASGI application around the whole service; `state.live` is set once the worker has started."""

    def __init__(self, app: ASGIApp, *, path: str, state: State) -> None:
        self.app, self.path, self._state = app, path, state
        self._document, headers = describe(Overloaded(AT_CAPACITY), Occurrence(path, PLACEHOLDER))
        response = problem_response(self._document, headers)
        self._before, self._after = bytes(response.body).split(PLACEHOLDER.encode())
        self._headers = [(name, value) for name, value in response.raw_headers if name != b"content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == self.path:
            live: LiveModel | None = getattr(self._state, "live", None)
            if live and live.worker.concurrency_limit.full:
                await self._refuse(live, request_id_of(scope), send)
                return
        await self.app(scope, receive, send)

    async def _refuse(self, live: "LiveModel", request_id: str, send: Send) -> None:
        raw_id, status = request_id.encode(), self._document.status
        body = self._before + raw_id + self._after
        headers = [*self._headers, (b"content-length", b"%d" % len(body)), (RAW_REQUEST_ID, raw_id)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        live.worker.metrics.shed.inc()
