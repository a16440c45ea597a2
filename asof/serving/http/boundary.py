"""A layer around BentoML's own addresses too: every request gets an id and a line in the log, every error a problem.

BentoML answers an unknown path, a wrong method and an unready probe in plain text, and an exception as a bare 500.
"""

import logging
import os
import re
from collections.abc import Mapping
from time import perf_counter
from types import MappingProxyType

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asof.errors import AsOfError
from asof.serving.http.problems import (
    BODY,
    BY_STATUS,
    FAILED,
    MEDIA_TYPE,
    Occurrence,
    Problem,
    describe,
    kind_of_status,
    problem,
)
from asof.serving.logs.access_log import AccessLog

logger = logging.getLogger("asof.serving")

HEADER, RAW_HEADER = "X-Request-ID", b"x-request-id"
OF_THE_TEXT = frozenset({"content-type", "content-length"})
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
OF_BENTOML = frozenset({(429, "application/json"), (504, "application/json")})
"""How BentoML's own limits answer."""
SANE = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def request_id(given: str) -> str:
    """What a caller gives as X-Request-ID where it is sane, else a new id."""
    return given if SANE.fullmatch(given) else os.urandom(16).hex()


def occurrence(scope: Scope) -> Occurrence:
    """The path and the id of the request that `scope` belongs to."""
    return Occurrence(scope["path"], scope["state"]["request_id"])


def problem_response(document: Problem, headers: dict[str, str] | None = None) -> Response:
    """The document as an HTTP response."""
    body = document.model_dump_json(exclude_none=True)
    return Response(body, document.status, headers, MEDIA_TYPE)


def plain_problem(status: int, scope: Scope) -> Problem:
    """The document for an error of which only the status is known."""
    kind = kind_of_status(status)
    if status == 500:
        detail = FAILED
    else:
        detail = f"{scope['method']} {scope['path']}: see /docs.json for what this service answers."
    return problem(kind, detail, occurrence(scope))


def explain(error: AsOfError | HTTPException, scope: Scope) -> tuple[Problem, dict[str, str]]:
    """The document for an error on the way to an answer, and the headers that go with it."""
    if isinstance(error, AsOfError):
        return describe(error, occurrence(scope))
    headers = dict(error.headers or {})
    if error.status_code in BODY:
        return problem(BY_STATUS[error.status_code], error.detail, occurrence(scope)), headers
    return plain_problem(error.status_code, scope), headers


class Boundary:
    """ASGI middleware: X-Request-ID in and out, plain error texts and exceptions into problems, each request logged."""

    def __init__(self, app: ASGIApp, *, access_log: AccessLog) -> None:
        self.app, self._access_log = app, access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, own_id = perf_counter(), request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = own_id
        answer = _Answer(scope, receive, send)
        try:
            await self.app(scope, receive, answer.send)
        except Exception:
            logger.exception("Request %s to %r failed", own_id, scope["path"])
            if not answer.status:
                await answer.replace(500)
        self._access_log.finished(scope, own_id, status=answer.status, begun=begun)


class _Answer:
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
        """Sends a problem document in place of what the application says, with all headers that are not the text's."""
        self._replaced = True
        kept = {name: value for name, value in headers.items() if name not in OF_THE_TEXT}
        response = problem_response(plain_problem(status, self.scope), kept)
        await response(self.scope, self.receive, self._pass)

    async def _pass(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)[HEADER] = self.scope["state"]["request_id"]
        await self._send(message)


def request_id_of(scope: Scope) -> str:
    """The id of a request that is not yet in its scope."""
    return request_id(next((value.decode("latin-1") for name, value in scope["headers"] if name == RAW_HEADER), ""))


def _is_plain_error(message: Message) -> bool:
    kind = Headers(scope=message).get("content-type", "").partition(";")[0]
    return message["status"] >= 400 and (kind == "text/plain" or (message["status"], kind) in OF_BENTOML)
