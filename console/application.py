"""Settings -> the console as an ASGI application: its routes, who may see what, and what goes wrong."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import psycopg
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from asof.errors import AsOfError, ConfigurationError, DataError, Forbidden, InvalidRequest, ModelError, ServingError
from asof.serving.access.scopes import ADMIN, PREDICT
from asof.settings import Settings
from asof.use_cases import load
from console.access import ANYBODY, COOKIE, Access, Visitor, is_same_origin
from console.pages import inspections, monitoring, overview, prediction, production, scoring
from console.rendering import render
from console.visit import Page, Visit

logger = logging.getLogger("asof.console")

MAX_FORM_BYTES = 64 * 1024
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
PAGES = (
    Page("production", "Production", ADMIN, production.view),
    Page("predict", "Try a prediction", PREDICT, prediction.view),
    Page("monitoring", "Monitoring", ADMIN, monitoring.view),
    Page("data", "Data checks", ADMIN, inspections.view),
    Page("scoring", "Scoring runs", ADMIN, scoring.view),
)
TRACE = Page("trace", "Trace", ADMIN, prediction.trace)
STATUS: Mapping[type[Exception], HTTPStatus] = {
    InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    Forbidden: HTTPStatus.FORBIDDEN,
    ServingError: HTTPStatus.SERVICE_UNAVAILABLE,
    psycopg.OperationalError: HTTPStatus.SERVICE_UNAVAILABLE,
    DataError: HTTPStatus.NOT_FOUND,
    ModelError: HTTPStatus.NOT_FOUND,
    ConfigurationError: HTTPStatus.NOT_FOUND,
}


def console(settings: Settings) -> Starlette:
    """The application. Raises ConfigurationError where the file of API keys cannot be read."""
    handlers = _Handlers(settings, Access(settings))
    pages = [
        Route(
            f"/{{use_case}}/{page.name}",
            handlers.page(page),
            methods=["GET", *(["POST"] if page.scope == PREDICT else [])],
        )
        for page in PAGES
    ]
    return Starlette(
        routes=[
            Route("/livez", lambda _: PlainTextResponse("ok")),
            Route("/", handlers.index),
            Route("/sign-in", handlers.sign_in, methods=["GET", "POST"]),
            Route("/sign-out", handlers.sign_out, methods=["POST"]),
            Mount("/static", StaticFiles(directory=Path(__file__).with_name("static"))),
            *pages,
            Route("/{use_case}/data/{rest}", handlers.document(inspections.document)),
            Route("/{use_case}/report", handlers.document(monitoring.document)),
            Route("/{use_case}/trace/{rest:path}", handlers.page(TRACE)),
        ],
        exception_handlers={
            HTTPException: handlers.http_error,
            Exception: handlers.bug,
            **dict.fromkeys(STATUS, handlers.failed),
        },
    )


@dataclass(frozen=True)
class _Handlers:
    settings: Settings
    access: Access

    async def index(self, request: Request) -> Response:
        """The use cases, each with the first page that the visitor may see."""
        visitor = self._visitor(request)
        if visitor is None:
            return _to_sign_in(request)
        cards = await run_in_threadpool(overview.cards, self.settings, visitor.scopes)
        first = next((page.name for page in PAGES if page.scope in visitor.scopes), None)
        return self._html("index", visitor, cards=cards, first=first)

    def page(self, page: Page) -> Any:
        async def show(request: Request) -> Response:
            visit = await self._visit(request, page.scope)
            if isinstance(visit, Response):
                return visit
            context = await run_in_threadpool(page.view, visit)
            return self._html(page.name, visit.visitor, use_case=visit.use_case, page=page, **context)

        return show

    def document(self, write: Callable[[Visit], str]) -> Any:
        """A page that is whole by itself, with no script."""

        async def show(request: Request) -> Response:
            visit = await self._visit(request, ADMIN)
            if isinstance(visit, Response):
                return visit
            return HTMLResponse(await run_in_threadpool(write, visit), headers=HEADERS)

        return show

    async def sign_in(self, request: Request) -> Response:
        """Asks for a key, and puts a valid one into the cookie."""
        target = request.query_params.get("next", "/")
        if request.method == "GET":
            return self._html("sign_in", None, wrong=False)
        visitor = self.access.holder((await self._form(request)).get("key", "").strip())
        if visitor is None:
            return self._html("sign_in", None, wrong=True, status=HTTPStatus.FORBIDDEN)
        response = RedirectResponse(_local(target), HTTPStatus.SEE_OTHER, HEADERS)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, visitor.key or "", httponly=True, samesite="strict", secure=secure)
        return response

    async def sign_out(self, request: Request) -> Response:
        await self._form(request)
        response = RedirectResponse("/sign-in", HTTPStatus.SEE_OTHER, HEADERS)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    async def http_error(self, request: Request, error: Exception) -> Response:
        """An unknown path or method."""
        status = HTTPStatus(getattr(error, "status_code", HTTPStatus.NOT_FOUND))
        return self._problem(request, status, f"{request.url.path}: {status.description or status.phrase}")

    async def failed(self, request: Request, error: Exception) -> Response:
        """An error that a person can do something about."""
        status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
        text = str(error) if isinstance(error, AsOfError) else "PostgreSQL does not answer: see `make status`."
        return self._problem(request, status, text)

    async def bug(self, request: Request, _: Exception) -> Response:
        """Starlette's own layer logs the error with its frames."""
        return self._problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "This is a bug of the console: see its log.")

    async def _visit(self, request: Request, scope: str) -> Visit | Response:
        """Raises Forbidden where the key lacks the scope, ConfigurationError for an unknown use case."""
        visitor = self._visitor(request)
        if visitor is None:
            return _to_sign_in(request)
        if scope not in visitor.scopes:
            raise Forbidden(f"This page needs a key with the scope {scope}, which {visitor.name} lacks.")
        form = await self._form(request) if request.method == "POST" else None
        use_case = await run_in_threadpool(load, request.path_params["use_case"])
        return Visit(self.settings, use_case, visitor, form, request.path_params.get("rest", ""))

    def _visitor(self, request: Request) -> Visitor | None:
        """Raises Forbidden where the page is asked for under a name that may not be ours."""
        if not self.access.is_own_host(request.headers.get("host", "")):
            raise Forbidden("Without API keys the console answers under localhost or an IP address: set ASOF_API_KEYS.")
        return self.access.visitor(request.headers)

    async def _form(self, request: Request) -> Mapping[str, str]:
        """Raises Forbidden for a form of another site, InvalidRequest for one that is too long."""
        if not is_same_origin(request.headers):
            raise Forbidden("This form was sent by another site.")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM_BYTES:
                raise InvalidRequest(f"The form is longer than {MAX_FORM_BYTES} bytes.")
        try:
            return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
        except UnicodeDecodeError:
            raise InvalidRequest("The form is not text in UTF-8.") from None

    def _problem(self, request: Request, status: HTTPStatus, text: str) -> Response:
        visitor = self.access.visitor(request.headers)
        return self._html("problem", visitor, status=status, title=status.phrase, text=text)

    def _html(
        self,
        template: str,
        visitor: Visitor | None,
        *,
        status: HTTPStatus = HTTPStatus.OK,
        **context: Any,
    ) -> Response:
        common = {
            "visitor": visitor,
            "signed_in": visitor is not None and visitor != ANYBODY,
            "pages": [page for page in PAGES if visitor and page.scope in visitor.scopes],
            "may_trace": visitor is not None and TRACE.scope in visitor.scopes,
            "use_case": None,
            "page": None,
        }
        return HTMLResponse(render(template, **common | context), status, HEADERS)


def _to_sign_in(request: Request) -> Response:
    return RedirectResponse(f"/sign-in?next={quote(request.url.path)}", HTTPStatus.SEE_OTHER, HEADERS)


def _local(target: str) -> str:
    """The path to go on to; one that names another host is not followed."""
    return target if target.startswith("/") and not target.startswith(("//", "/\\")) else "/"
