"""Middleware around BentoML's own paths too: every request gets an id and a log line, every error a problem document.

BentoML answers an unknown path, a wrong method and a failed probe in plain text, and an exception as a bare 500.
"""

import logging
import re
from collections.abc import Mapping
from time import perf_counter
from types import MappingProxyType
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asof.errors import AsOfError, NotReady, ServingError
from asof.ledger.request_id import new_request_id
from asof.serving.http.problems import (
    BODY_STATUSES,
    BY_STATUS,
    INTERNAL_ERROR,
    MEDIA_TYPE,
    Occurrence,
    Problem,
    describe,
    problem,
    problem_type_of_status,
)
from asof.serving.logs.access_log import AccessLog

logger = logging.getLogger("asof.serving")

REQUEST_ID, RAW_REQUEST_ID = "X-Request-ID", b"x-request-id"
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
READYZ = "/readyz"
REPLACED_HEADERS = frozenset({"content-type", "content-length"})
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
BENTOML_ERRORS = frozenset({(429, "application/json"), (504, "application/json")})
"""The responses of BentoML's own limits."""


def request_id_of(scope: Scope) -> str:
    """The caller's X-Request-ID where it is valid, else a new id."""
    own = next((value.decode("latin-1") for name, value in scope["headers"] if name == RAW_REQUEST_ID), "")
    return own if VALID_REQUEST_ID.fullmatch(own) else new_request_id()


def occurrence(scope: Scope) -> Occurrence:
    """The path and the id of a request that has passed `Boundary`."""
    return Occurrence(scope["path"], scope["state"]["request_id"])


def problem_response(document: Problem, headers: dict[str, str] | None = None) -> Response:
    """The document as an HTTP response."""
    body = document.model_dump_json(exclude_none=True)
    return Response(body, document.status, headers, MEDIA_TYPE)


def explain(error: AsOfError | HTTPException, scope: Scope) -> tuple[Problem, dict[str, str]]:
    """The document of an error raised by an endpoint, and its headers."""
    if isinstance(error, AsOfError):
        return describe(error, occurrence(scope))
    headers = dict(error.headers or {})
    if error.status_code in BODY_STATUSES:
        return problem(BY_STATUS[error.status_code], error.detail, occurrence(scope)), headers
    return _plain_problem(error.status_code, scope), headers


def _plain_problem(status: int, scope: Scope) -> Problem:
    """The document of an error of which only the status is known."""
    usage = f"{scope['method']} {scope['path']}: see /docs.json for what this service answers."
    detail = INTERNAL_ERROR if status == 500 else usage
    return problem(problem_type_of_status(status), detail, occurrence(scope))


class Boundary:
    """ASGI middleware: sets X-Request-ID, logs each request, turns plain error texts and exceptions into problems."""

    def __init__(self, app: ASGIApp, *, access_log: AccessLog) -> None:
        self.app, self._access_log = app, access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, request_id = perf_counter(), request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        response = _Response(scope, receive, send)
        try:
            await self.app(scope, receive, response.send)
        except Exception:
            logger.exception("Request %s to %r failed", request_id, scope["path"])
            if not response.status:
                await response.replace(500)
        self._access_log.finished(scope, request_id, status=response.status, begun=begun)


class _Response:
    """One response on its way out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self._send = scope, receive, send
        self.status, self._replaced = 0, False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_plain_error(message):
            await self.replace(message["status"], Headers(scope=message))
        elif not self._replaced:
            await self._pass(message)

    async def replace(self, status: int, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Sends a problem document in place of the application's text, with its other headers."""
        self._replaced = True
        kept = {name: value for name, value in headers.items() if name not in REPLACED_HEADERS}
        response = problem_response(_plain_problem(status, self.scope), kept)
        await response(self.scope, self.receive, self._pass)

    async def _pass(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [each for each in message.get("headers", ()) if each[0] != RAW_REQUEST_ID]
            message["headers"] = [*headers, (RAW_REQUEST_ID, self.scope["state"]["request_id"].encode())]
        await self._send(message)


def _is_plain_error(message: Message) -> bool:
    if message["status"] < 400:
        return False
    media_type = Headers(scope=message).get("content-type", "").partition(";")[0]
    return media_type == "text/plain" or (message["status"], media_type) in BENTOML_ERRORS


class Readiness:
    """ASGI middleware: GET /readyz with the reason for a 503, which BentoML's own does not report.

    It reads from the feature store, if the model needs it. `state.live` must be set before the first request.
    """

    def __init__(self, app: ASGIApp, *, state: Any) -> None:
        self.app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == READYZ and scope["method"] in ("GET", "HEAD"):
            response = await self._respond(scope)
            await response(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _respond(self, scope: Scope) -> Response:
        try:
            await self._state.live.select().predictor.check()
        except ServingError as error:
            return problem_response(*explain(NotReady(str(error), **error.extra), scope))
        return PlainTextResponse("\n")
