"""ASGI middleware: GET /readyz says why nobody answers; BentoML's own says only that it is so."""

from typing import Any

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from asof.errors import NotReady, ServingError
from asof.serving.http.boundary import explain, problem_response

PATH = "/readyz"


class Readiness:
    """Really asks the feature store, where the model needs it. `state.live` must be set before the first request."""

    def __init__(self, app: ASGIApp, *, state: Any) -> None:
        self.app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] in ("GET", "HEAD"):
            response = await self._answer(scope)
            await response(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        try:
            await self._state.live.select().predictor.check()
        except ServingError as error:
            return problem_response(*explain(NotReady(str(error), **error.extra), scope))
        return PlainTextResponse("\n")
