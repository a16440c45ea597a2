"""A closed loop: N clients, each of which waits for its answer before it sends again."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from benchmarks.serving.connection import LOST, Connection, connect
from benchmarks.serving.samples import UNANSWERED, Samples

Hop = Callable[[bytes], bytes]
"""From the body of an answer to the next request, for a client that must ask twice."""


@dataclass(frozen=True)
class ClosedLoop:
    """Where to ask, and how: one URL, or two with a `hop` from the first answer to the second request."""

    urls: tuple[str, ...]
    clients: int
    seconds: float
    warm_up: float
    grace: float
    hop: Hop | None = None


class _Client:
    """One client; `take` gives the next request, or None at the end."""

    def __init__(self, connections: list[Connection], hop: Hop | None, take: Callable[[], bytes | None]) -> None:
        self._connections, self._hop, self._take = connections, hop, take
        self.samples, self.done, self.sent = Samples(), asyncio.Event(), 0.0
        self.done.set()

    def send(self) -> None:
        request = self._take()
        if request is None:
            self.done.set()
            return
        self.done.clear()
        self.sent = perf_counter()
        self._connections[0].ask(request, self._halfway if self._hop else self._answered)

    def _halfway(self, status: int, body: bytes) -> None:
        if status != 200 or self._hop is None:
            self._answered(status, body)
        else:
            self._connections[1].ask(self._hop(body), self._answered)

    def _answered(self, status: int, _: bytes) -> None:
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
    """Drives the clients. Accepted answers a second are those that came in the time counted; latencies are those of the
    requests sent in it, whose answers are waited for up to `grace` seconds longer.

    A client whose connection is lost does not come back: that is a failure, and is seen as one.
    """
    begin = perf_counter() + plan.warm_up
    end = begin + plan.seconds

    def take() -> bytes | None:
        return next(requests) if perf_counter() < end else None

    clients = [_Client([await connect(url) for url in plan.urls], plan.hop, take) for _ in range(plan.clients)]
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
