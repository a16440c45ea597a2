"""Requests for predictions past what BentoML puts around every request, unless their caller traces them.

OpenTelemetry makes three spans of each request, traced or not, and the timeout keeps all that belongs to a request
alive until it has run out, for the garbage collector to look at. A prediction has deadlines of its own.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

TRACED = b"traceparent"
"""The header of W3C's Trace Context: the caller traces, or has decided not to; OpenTelemetry reads which."""


class FastLane:
    """ASGI middleware: POST to `path` goes to `endpoint`, everything else to the application."""

    def __init__(self, app: ASGIApp, *, path: str, endpoint: ASGIApp) -> None:
        self.app, self.path, self.endpoint = app, path, endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        direct = (
            scope["type"] == "http"
            and scope["path"] == self.path
            and scope["method"] == "POST"
            and all(name != TRACED for name, _ in scope["headers"])
        )
        await (self.endpoint if direct else self.app)(scope, receive, send)
