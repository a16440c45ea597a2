"""The boundary: errors in the formats of an application or of BentoML become problem documents."""

import asyncio
import json

import httpx
import pytest
from bentoml._internal.server.http.traffic import TimeoutMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from asof.serving.http.boundary import Boundary
from asof.serving.logs.access_log import AccessLog

ANSWERS: dict[str, Response] = {
    "/plain": PlainTextResponse("no", 503, {"Retry-After": "7", "X-Kept": "yes"}),
    "/charset": Response("no", 404, media_type="text/plain; charset=latin-1"),
    "/bento-429": JSONResponse({"error": "Too many requests"}, 429),
    "/health": JSONResponse({"status": "unavailable"}, 503),
    "/good": PlainTextResponse("yes"),
}


async def answer(request: Request) -> Response:
    if request.url.path == "/slow":
        await asyncio.sleep(60)
    if request.url.path == "/breaks":
        raise RuntimeError("secret")
    return ANSWERS[request.url.path]


def ask(method: str, path: str) -> httpx.Response:
    app = Starlette(routes=[Route(path, answer) for path in (*ANSWERS, "/slow", "/breaks")])
    bounded = Boundary(TimeoutMiddleware(app, 0.2), access_log=AccessLog(on=False))
    transport = httpx.ASGITransport(bounded, raise_app_exceptions=False)

    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.request(method, path)

    return asyncio.run(asked())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/plain", 503),
        ("GET", "/charset", 404),
        ("GET", "/bento-429", 429),
        ("GET", "/slow", 504),
        ("GET", "/breaks", 500),
        ("GET", "/nothing", 404),
        ("PUT", "/good", 405),
    ],
)
def test_an_error_in_another_format_leaves_as_a_problem(method: str, path: str, status: int) -> None:
    response = ask(method, path)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert response.json()["status"] == status
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert "secret" not in response.text


def test_the_other_headers_of_an_error_are_kept() -> None:
    assert set(ask("PUT", "/good").headers["allow"].split(", ")) == {"GET", "HEAD"}  # Starlette joins a set
    kept = ask("GET", "/plain").headers
    assert (kept["retry-after"], kept["x-kept"]) == ("7", "yes")


def test_answers_and_documents_of_our_own_are_left_alone() -> None:
    assert ask("GET", "/good").text == "yes"
    assert json.loads(ask("GET", "/health").content) == {"status": "unavailable"}
