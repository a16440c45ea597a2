"""The outermost layer: where a worker has no place for a prediction, it says so before anything else is done.

Under three times the load that a worker can bear, two of three requests are refused, and what refusing costs is taken
from the others. This costs little more than reading the request; it leaves no line in the access log.
"""

from typing import TYPE_CHECKING

from starlette.datastructures import State
from starlette.types import ASGIApp, Receive, Scope, Send

from asof.errors import Overloaded
from asof.serving.http.boundary import RAW_HEADER, problem_response, request_id_of
from asof.serving.http.concurrency_limit import TEXT
from asof.serving.http.problems import Occurrence, describe

if TYPE_CHECKING:
    from asof.serving.prediction.live import LiveModel

ID = "REQUEST-ID"
"""What stands in the prepared document for a request's own id."""


class Turnstile:
    """An application around the whole one; `state.live` is there once the worker has started."""

    def __init__(self, app: ASGIApp, *, path: str, state: State) -> None:
        self.app, self.path, self._state = app, path, state
        self._document, headers = describe(Overloaded(TEXT), Occurrence(path, ID))
        response = problem_response(self._document, headers)
        self._before, self._after = bytes(response.body).split(ID.encode())
        self._headers = [(name, value) for name, value in response.raw_headers if name != b"content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == self.path:
            live: LiveModel | None = getattr(self._state, "live", None)
            if live and live.worker.places.full:
                await self._refuse(live, request_id_of(scope), send)
                return
        await self.app(scope, receive, send)

    async def _refuse(self, live: "LiveModel", request_id: str, send: Send) -> None:
        told, status = request_id.encode(), self._document.status
        body = self._before + told + self._after
        headers = [*self._headers, (b"content-length", b"%d" % len(body)), (RAW_HEADER, told)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        live.worker.metrics.shed.inc()
        live.worker.answer_log.refused(
            request_id, live.answer_source, status=status, code=self._document.code, entity=None
        )
