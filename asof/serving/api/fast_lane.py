"""Requests for predictions past what BentoML puts around every request, unless their caller traces them.

OpenTelemetry makes three spans of each request, traced or not, and the timeout keeps all that belongs to a request
alive until it has run out, for the garbage collector to look at. A prediction has deadlines of its own.
"""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

TRACED = b"traceparent"
"""The header of W3C's Trace Context: the caller traces, or has decided not to; OpenTelemetry reads which."""


class FastLane:
    """ASGI middleware: POST to a path of `lanes` goes to its endpoint, everything else to the application."""

    def __init__(self, app: ASGIApp, *, lanes: Mapping[str, ASGIApp]) -> None:
        self.app, self.lanes = app, lanes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        direct = (
            scope["type"] == "http"
            and scope["path"] in self.lanes
            and scope["method"] == "POST"
            and all(name != TRACED for name, _ in scope["headers"])
        )
        await (self.lanes[scope["path"]] if direct else self.app)(scope, receive, send)
