"""The client against the service's own HTTP layer, and against servers that fail in ways that a service does not."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.exceptions import HTTPException

import asof.client as package
from asof.client import AsyncClient, Client, NoAnswer, Problem, Retries, ServiceProblem, TimedOut, UnexpectedAnswer
from asof.client.errors import BY_CODE
from asof.client.retries import Attempts
from asof.errors import ServingError
from asof.serving.http.examples import examples
from asof.serving.http.openapi import samples
from asof.serving.http.problems import BY_ERROR, BY_STATUS
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.predictor import Mark
from asof.use_cases import load
from tests.kits.service.batch import CANCER, live_with, predictor
from tests.kits.service.protocols import with_protocols

INSTANCE = {"features": list(range(1, 31))}
NEVER, DEFAULT = Retries(attempts=0), Retries()
KINDS: list[Exception] = [*samples(examples(load("churn"))), *map(HTTPException, BY_STATUS), ValueError("bug")]


class Failing(LiveModel):
    """A model at which every prediction fails."""

    error: Exception

    async def predict(self, request: Any, mark: Mark) -> Any:
        raise self.error


def ask(error: Exception, retries: Retries = NEVER) -> Any:
    """What the client makes of a service at which this error occurs."""
    live = live_with(predictor())
    live.__class__, live.error = Failing, error  # type: ignore[attr-defined, assignment]

    async def main() -> Any:
        transport = httpx.ASGITransport(with_protocols(CANCER, live))
        async with AsyncClient("http://x", retries=retries, transport=transport) as client:
            return await client.predict(INSTANCE, request_id="mine")

    return asyncio.run(main())


def code_of(error: Exception) -> str:
    if isinstance(error, HTTPException):
        return BY_STATUS[error.status_code].code
    return getattr(error, "code", "internal-error")


def test_each_code_of_the_service_has_an_exception_of_its_own() -> None:
    codes = {kind.code for kind in (*BY_ERROR.values(), *BY_STATUS.values())}
    assert set(BY_CODE) == codes, "add it to asof/client/errors.py"
    assert {each.__name__ for each in BY_CODE.values()} < set(package.__all__)
    assert all(getattr(package, name) for name in package.__all__)
    assert {code_of(each) for each in KINDS} == codes


@pytest.mark.parametrize("error", KINDS, ids=lambda error: f"{type(error).__name__}-{code_of(error)}")
def test_each_problem_of_the_service_is_its_exception(error: Exception) -> None:
    with pytest.raises(BY_CODE[code_of(error)]) as caught:
        ask(error)
    problem = caught.value
    assert type(problem) is BY_CODE[code_of(error)]
    assert (problem.code, problem.request_id) == (code_of(error), "mine")
    assert problem.detail in str(problem)
    assert problem.members["type"] == f"urn:asof:problem:{problem.code}"
    if isinstance(error, ServingError):
        assert isinstance(problem, ServiceProblem)
        assert problem.retry_after == error.retry_after
    for name, value in getattr(error, "extra", {}).items():
        assert problem.members[name] == value
        if name in ("errors", "missing_features", "stale_features"):
            assert getattr(problem, name) == value


def answering(*replies: httpx.Response | Exception) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    """A transport that answers with these in turn, the last again and again; and the requests that it gets."""
    waiting, got = list(replies), list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response:
        got.append(request)
        reply = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    return httpx.MockTransport(answer), got


def busy(seconds: str = "0") -> httpx.Response:
    return httpx.Response(
        429, headers={"Retry-After": seconds, "Content-Type": "application/problem+json"}, json={"code": "overloaded"}
    )


GOOD = httpx.Response(200, json={"registered": True})


@pytest.fixture(params=["sync", "async"])
def model(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`client.model()` of either client."""

    def of_client(transport: httpx.MockTransport, retries: Retries = DEFAULT) -> Any:
        with Client("http://x/below", api_key="secret", retries=retries, transport=transport) as client:
            return client.model()

    def of_async_client(transport: httpx.MockTransport, retries: Retries = DEFAULT) -> Any:
        async def main() -> Any:
            async with AsyncClient("http://x/below", api_key="secret", retries=retries, transport=transport) as client:
                return await client.model()

        return asyncio.run(main())

    return of_client if request.param == "sync" else of_async_client


def test_what_says_when_is_tried_again(model: Callable[..., Any]) -> None:
    transport, got = answering(busy(), httpx.ConnectError("refused"), busy(), GOOD)
    assert model(transport) == {"registered": True}
    assert len(got) == 4
    assert {str(each.url) for each in got} == {"http://x/below/model"}
    assert {each.headers["authorization"] for each in got} == {"Bearer secret"}


def test_retries_are_bounded_in_number_and_in_seconds(model: Callable[..., Any]) -> None:
    transport, got = answering(busy())
    with pytest.raises(package.Overloaded):
        model(transport, Retries(attempts=2))
    assert len(got) == 3
    transport, got = answering(busy("60"))
    with pytest.raises(package.Overloaded) as caught:
        model(transport)
    assert (len(got), caught.value.retry_after) == (1, 60.0)


def test_a_problem_that_says_no_time_is_raised_at_once(model: Callable[..., Any]) -> None:
    transport, got = answering(
        httpx.Response(500, headers={"Content-Type": "application/problem+json"}, json={"code": "internal-error"})
    )
    with pytest.raises(package.InternalError):
        model(transport)
    assert len(got) == 1


@pytest.mark.parametrize(
    ("error", "kind", "attempts"),
    [
        (httpx.ReadTimeout("slow"), TimedOut, 1),
        (httpx.ConnectTimeout("slow"), TimedOut, 1),
        (httpx.ConnectError("refused"), NoAnswer, 2),
        (httpx.RemoteProtocolError("peer closed connection"), NoAnswer, 2),
    ],
)
def test_a_lost_connection_is_tried_again_and_a_timeout_is_not(
    model: Callable[..., Any], error: Exception, kind: type[Exception], attempts: int
) -> None:
    transport, got = answering(error)
    with pytest.raises(kind, match="GET http://x/below/model"):
        model(transport, Retries(attempts=1))
    assert len(got) == attempts


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(200, html="<html>a proxy's page</html>"),
        httpx.Response(502, html="<html>bad gateway</html>"),
        httpx.Response(302, headers={"Location": "http://elsewhere/"}),
        httpx.Response(204),
        httpx.Response(200, headers={"Content-Type": "application/json"}, content=b'{"model":'),
        httpx.Response(200, json=[]),
    ],
    ids=["page", "gateway", "redirect", "empty", "cut", "list"],
)
def test_what_is_no_answer_of_the_service_is_never_taken_for_one(
    model: Callable[..., Any], reply: httpx.Response
) -> None:
    transport, got = answering(reply)
    with pytest.raises(UnexpectedAnswer):
        model(transport)
    assert len(got) == 1


def test_an_answer_of_another_service_is_unexpected() -> None:
    transport, _ = answering(httpx.Response(200, json={"probability": 0.5}))
    with Client("http://x", transport=transport) as client, pytest.raises(UnexpectedAnswer, match="another service"):
        client.predict(INSTANCE)


def test_an_unknown_code_is_a_plain_problem_with_all_its_members() -> None:
    document = {"code": "brand-new", "status": 418, "detail": "Later.", "extra": 1}
    content, headers = json.dumps(document), {"Content-Type": "application/problem+json"}
    transport, _ = answering(httpx.Response(418, headers=headers, content=content))
    with Client("http://x", transport=transport) as client, pytest.raises(Problem, match="brand-new") as caught:
        client.predict(INSTANCE)
    assert (type(caught.value), caught.value.members) == (Problem, document)


def test_a_wait_is_somewhat_longer_at_random() -> None:
    waits = {Attempts(Retries()).wait_after(Problem({}, 1.0)) for _ in range(20)}
    assert len(waits) > 1
    assert all(1.0 <= each <= 1.1 for each in waits)
