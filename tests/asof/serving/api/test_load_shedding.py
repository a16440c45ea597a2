"""A refused request gets the documented problem, and only at capacity."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.datastructures import State
from starlette.types import Message, Receive, Scope, Send

from asof.errors import Overloaded
from asof.serving.api.load_shedding import LoadShedding
from asof.serving.http.concurrency_limit import AT_CAPACITY
from asof.serving.http.problems import MEDIA_TYPE, Occurrence, describe

REQUEST: Scope = {
    "type": "http",
    "method": "POST",
    "path": "/predict",
    "headers": [(b"x-request-id", b"8c5f2a")],
    "client": ("127.0.0.1", 1),
}


class Worker:
    """The members of a worker that LoadShedding uses."""

    def __init__(self, *, full: bool) -> None:
        self.concurrency_limit = SimpleNamespace(full=full)
        self.calls: list[Any] = []
        self.metrics = SimpleNamespace(shed=SimpleNamespace(inc=lambda: self.calls.append("shed")))


def asked(scope: Scope, worker: Worker | None) -> list[Message]:
    """What is sent; the application behind sends one message of its own."""
    sent: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "admitted"})

    async def receive() -> Message:
        raise AssertionError("a refusal reads no body")

    async def send(message: Message) -> None:
        sent.append(message)

    live = SimpleNamespace(live=SimpleNamespace(worker=worker)) if worker else SimpleNamespace()
    layer = LoadShedding(application, path="/predict", state=State(vars(live)))
    asyncio.run(layer(scope, receive, send))
    return sent


def test_a_refusal_is_the_problem_that_the_contract_promises() -> None:
    worker = Worker(full=True)
    start, body = asked(REQUEST, worker)
    document, headers = describe(Overloaded(AT_CAPACITY), Occurrence("/predict", "8c5f2a"))
    sent_headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert start["status"] == 429
    assert json.loads(body["body"]) == document.model_dump(exclude_none=True)
    assert sent_headers["content-type"] == MEDIA_TYPE
    assert sent_headers["content-length"] == str(len(body["body"]))
    assert sent_headers["x-request-id"] == "8c5f2a"
    assert sent_headers["retry-after"] == headers["Retry-After"]


def test_a_refusal_is_counted() -> None:
    worker = Worker(full=True)
    asked(REQUEST, worker)
    assert worker.calls == ["shed"]


@pytest.mark.parametrize("scope", [REQUEST | {"path": "/health"}, {"type": "lifespan"}])
def test_probes_and_other_paths_are_never_refused(scope: Scope) -> None:
    assert asked(scope, Worker(full=True)) == [{"type": "admitted"}]


def test_below_the_limit_or_without_a_worker_requests_are_admitted() -> None:
    assert asked(REQUEST, Worker(full=False)) == [{"type": "admitted"}]
    assert asked(REQUEST, None) == [{"type": "admitted"}]
