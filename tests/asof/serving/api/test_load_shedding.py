"""A refusal at the door is the refusal that the contract promises, and only where there is no place."""

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
    """What the turnstile asks of a worker, and tells it."""

    def __init__(self, *, full: bool) -> None:
        self.concurrency_limit = SimpleNamespace(full=full)
        self.told: list[Any] = []
        self.metrics = SimpleNamespace(shed=SimpleNamespace(inc=lambda: self.told.append("shed")))
        self.answer_log = SimpleNamespace(refused=lambda *words, **facts: self.told.append((words, facts)))


def asked(scope: Scope, worker: Worker | None) -> list[Message]:
    """What is sent; the application behind sends one message of its own."""
    sent: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "let in"})

    async def receive() -> Message:
        raise AssertionError("a refusal reads no body")

    async def send(message: Message) -> None:
        sent.append(message)

    live = SimpleNamespace(live=SimpleNamespace(worker=worker, answering="who")) if worker else SimpleNamespace()
    turnstile = LoadShedding(application, path="/predict", state=State(vars(live)))
    asyncio.run(turnstile(scope, receive, send))
    return sent


def test_a_refusal_is_the_problem_that_the_contract_promises() -> None:
    worker = Worker(full=True)
    start, body = asked(REQUEST, worker)
    document, headers = describe(Overloaded(AT_CAPACITY), Occurrence("/predict", "8c5f2a"))
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    assert start["status"] == 429
    assert json.loads(body["body"]) == document.model_dump(exclude_none=True)
    assert told["content-type"] == MEDIA_TYPE
    assert told["content-length"] == str(len(body["body"]))
    assert told["x-request-id"] == "8c5f2a"
    assert told["retry-after"] == headers["Retry-After"]


def test_a_refusal_is_counted_and_logged() -> None:
    worker = Worker(full=True)
    asked(REQUEST, worker)
    assert worker.told == ["shed", (("8c5f2a", "who"), {"status": 429, "code": "overloaded", "entity": None})]


@pytest.mark.parametrize("scope", [REQUEST | {"path": "/health"}, {"type": "lifespan"}])
def test_probes_and_other_addresses_always_come_in(scope: Scope) -> None:
    assert asked(scope, Worker(full=True)) == [{"type": "let in"}]


def test_where_there_is_a_place_or_no_worker_yet_everybody_comes_in() -> None:
    assert asked(REQUEST, Worker(full=False)) == [{"type": "let in"}]
    assert asked(REQUEST, None) == [{"type": "let in"}]
