"""A closed loop: N clients, each of which waits for the response before it sends the next request."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from benchmarks.serving.load.connection import LOST, Connection, connect
from benchmarks.serving.load.samples import UNANSWERED, Samples

Hop = Callable[[bytes], bytes]
"""From the body of the first response to the second request, for a peer of two services."""


@dataclass(frozen=True)
class ClosedLoop:
    """One URL, or two with a `hop` between them; `grace` seconds to wait for the last responses."""

    urls: tuple[str, ...]
    clients: int
    seconds: float
    warm_up: float
    grace: float
    hop: Hop | None = None


class _Client:
    """`next_request` returns None at the end."""

    def __init__(
        self, connections: list[Connection], hop: Hop | None, next_request: Callable[[], bytes | None]
    ) -> None:
        self._connections, self._hop, self._next_request = connections, hop, next_request
        self.samples, self.done, self.sent = Samples(), asyncio.Event(), 0.0
        self.done.set()

    def send(self) -> None:
        request = self._next_request()
        if request is None:
            self.done.set()
            return
        self.done.clear()
        self.sent = perf_counter()
        self._connections[0].send(request, self._on_first_response if self._hop else self._on_response)

    def _on_first_response(self, status: int, body: bytes) -> None:
        if status != 200 or self._hop is None:
            self._on_response(status, body)
        else:
            self._connections[1].send(self._hop(body), self._on_response)

    def _on_response(self, status: int, _: bytes) -> None:
        self.samples.add(self.sent, perf_counter() - self.sent, status)
        if status == LOST:
            self.done.set()
        else:
            self.send()

    def close(self, now: float) -> None:
        if not self.done.is_set():
            self.samples.add(self.sent, now - self.sent, UNANSWERED)
        for connection in self._connections:
            connection.close()


async def closed_loop(plan: ClosedLoop, requests: Iterator[bytes]) -> dict[str, Any]:
    """Requests a second are the accepted responses that arrive in the measured time; latencies are those of requests
    that are sent in it, whose responses may arrive up to `grace` seconds later.

    A client whose connection is lost stops, and the request counts as failed.
    """
    begin = perf_counter() + plan.warm_up
    end = begin + plan.seconds

    def next_request() -> bytes | None:
        return next(requests) if perf_counter() < end else None

    clients = [_Client([await connect(url) for url in plan.urls], plan.hop, next_request) for _ in range(plan.clients)]
    for client in clients:
        client.send()
    await asyncio.sleep(end - perf_counter())
    waiting = [asyncio.ensure_future(client.done.wait()) for client in clients]
    _, pending = await asyncio.wait(waiting, timeout=plan.grace)
    for task in pending:
        task.cancel()
    for client in clients:
        client.close(perf_counter())
    return _result(plan, clients, begin)


def _result(plan: ClosedLoop, clients: list[_Client], begin: float) -> dict[str, Any]:
    end = begin + plan.seconds
    every = Samples()
    for client in clients:
        every.moments.extend(client.samples.moments)
        every.latencies.extend(client.samples.latencies)
        every.statuses.extend(client.samples.statuses)
    return {
        "clients": plan.clients,
        "seconds": plan.seconds,
        "requests_per_second": round(every.answered_between(begin, end) / plan.seconds, 2),
        "requests_with_warm_up": len(every.statuses),
        **every.between(begin, end).summary(),
    }
