"""The outermost layer: where a worker has no place for a prediction, it says so before anything else is done.

Under three times the load that a worker can bear, two of three requests are refused, and what refusing costs is taken
from the others. This costs little more than reading the request.
"""

from typing import TYPE_CHECKING

from starlette.datastructures import State
from starlette.types import ASGIApp, Receive, Scope, Send

from asof.errors import Overloaded
from asof.serving.access_log import AccessLog
from asof.serving.boundary import HEADER, problem_response, request_id_of
from asof.serving.places import TEXT
from asof.serving.problems import Occurrence, describe

if TYPE_CHECKING:
    from asof.serving.live import Live

ID = "REQUEST-ID"


class Turnstile:
    """ASGI middleware around all others; `state.live` is there once the worker has started."""

    def __init__(self, app: ASGIApp, *, path: str, state: State, access_log: AccessLog) -> None:
        self.app, self.path, self._state, self._access_log = app, path, state, access_log
        document, headers = describe(Overloaded(TEXT), Occurrence(path, ID))
        self._document = document
        response = problem_response(document, headers)
        self._before, self._after = bytes(response.body).split(ID.encode())
        kept = [(name, value) for name, value in response.raw_headers if name != b"content-length"]
        self._headers, self._fixed = kept, len(self._before) + len(self._after)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == self.path:
            live: Live | None = getattr(self._state, "live", None)
            if live and live.current.worker.places.full:
                await self._refuse(live, scope, send)
                return
        await self.app(scope, receive, send)

    async def _refuse(self, live: "Live", scope: Scope, send: Send) -> None:
        request_id, status = request_id_of(scope), self._document.status
        told = request_id.encode()
        length = b"%d" % (self._fixed + len(told))
        headers = [*self._headers, (b"content-length", length), (HEADER.lower().encode(), told)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": self._before + told + self._after})
        predictor = live.current
        predictor.worker.metrics.shed.inc()
        predictor.worker.answer_log.refused(request_id, predictor, status=status, code=self._document.code, entity=None)
        self._access_log.finished(scope, request_id, status=status, begun=None)
