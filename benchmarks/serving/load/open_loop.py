"""An open loop: requests are sent at the times of a Poisson process, whether earlier ones are answered or not.

Latency is measured from the time at which a request was due, so that a stall of the service counts for all requests
that come meanwhile (no coordinated omission). Timers of the event loop are accurate to a millisecond; the result also
has how late requests were sent, and latencies from the time at which they were.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.serving.load.connection import LOST, Connection, connect
from benchmarks.serving.load.samples import UNANSWERED, UNSENT, Samples, percentiles


@dataclass(frozen=True)
class Phase:
    """`rate` requests a second for some seconds."""

    rate: float
    seconds: float


@dataclass(frozen=True)
class OpenLoop:
    """Phases of requests to one URL, over at most `connections`.

    A request waits for a free connection, which counts as latency. Those that still wait at the end of a phase are
    dropped; the last responses may take up to `grace` seconds.
    """

    url: str
    phases: tuple[Phase, ...]
    connections: int
    grace: float


class _Pool:
    """The connections, and the due times of requests that wait for one."""

    def __init__(self, plan: OpenLoop, requests: Iterator[bytes]) -> None:
        self._plan, self._requests = plan, requests
        self._idle: list[Connection] = []
        self._open, self._opening = 0, set[asyncio.Task[None]]()
        self.waiting: deque[float] = deque()
        self.in_flight: dict[Connection, float] = {}
        self.samples, self.from_sent, self.lags = Samples(), Samples(), list[float]()

    def arrive(self, moment: float) -> None:
        """Sends a request that is due at this time, or lets it wait for a connection."""
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                self.lags.append(perf_counter() - moment)
                self._send(connection, moment)
                return
            self._open -= 1
        self.waiting.append(moment)
        if self._open < self._plan.connections:
            self._open += 1
            task = asyncio.ensure_future(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        try:
            connection = await connect(self._plan.url)
        except OSError:
            self._open -= 1
            if self.waiting:
                moment = self.waiting.popleft()
                self.samples.add(moment, perf_counter() - moment, LOST)
            return
        self._free(connection)

    def _free(self, connection: Connection) -> None:
        if self.waiting:
            self._send(connection, self.waiting.popleft())
        else:
            self._idle.append(connection)

    def _send(self, connection: Connection, moment: float) -> None:
        self.in_flight[connection] = moment
        sent = perf_counter()

        def on_response(status: int, _: bytes) -> None:
            del self.in_flight[connection]
            now = perf_counter()
            self.samples.add(moment, now - moment, status)
            self.from_sent.add(moment, now - sent, status)
            if status == LOST:
                self._open -= 1
            else:
                self._free(connection)

        connection.send(next(self._requests), on_response)

    def drop_waiting(self) -> None:
        now = perf_counter()
        while self.waiting:
            moment = self.waiting.popleft()
            self.samples.add(moment, now - moment, UNSENT)

    async def close(self) -> None:
        until = perf_counter() + self._plan.grace
        while self.in_flight and perf_counter() < until:
            await asyncio.sleep(0.02)
        now = perf_counter()
        for moment in self.in_flight.values():
            self.samples.add(moment, now - moment, UNANSWERED)
        for connection in (*self._idle, *self.in_flight):
            connection.close()


async def open_loop(plan: OpenLoop, requests: Iterator[bytes], seed: int = 1) -> dict[str, Any]:
    """Runs the phases; each has a summary, and one for each of its seconds."""
    pool, random, bounds = _Pool(plan, requests), np.random.default_rng(seed), list[float]()
    for phase in plan.phases:
        begin = perf_counter()
        bounds.append(begin)
        await _drive(pool, _moments(phase, begin, random))
        await asyncio.sleep(max(0.0, begin + phase.seconds - perf_counter()))
        pool.drop_waiting()
    bounds.append(perf_counter())
    await pool.close()
    phases = [_summary(pool, phase, bounds[place : place + 2]) for place, phase in enumerate(plan.phases)]
    return {
        "phases": phases,
        "requests_with_warm_up": len(pool.samples.statuses),
        "lag": percentiles(np.asarray(pool.lags) * 1000),
    }


def _moments(phase: Phase, begin: float, random: np.random.Generator) -> list[float]:
    gaps = random.exponential(1 / phase.rate, int(phase.rate * phase.seconds * 1.2) + 20)
    moments = begin + np.cumsum(gaps)
    return list(moments[moments < begin + phase.seconds])


async def _drive(pool: _Pool, moments: Sequence[float]) -> None:
    for moment in moments:
        pause = moment - perf_counter()
        if pause > 0:
            await asyncio.sleep(pause)
        pool.arrive(moment)


def _summary(pool: _Pool, phase: Phase, bounds: Sequence[float]) -> dict[str, Any]:
    begin, end = bounds
    seen, from_sent = pool.samples.between(begin, end), pool.from_sent.between(begin, end).summary()
    return {
        "rate": phase.rate,
        "seconds": phase.seconds,
        **seen.summary(),
        "accepted_per_second": round(seen.answered_between(begin, end) / (end - begin), 2),
        **{f"{name}_from_sent": from_sent[name] for name in ("p50_ms", "p99_ms", "p999_ms")},
        "timeline": [seen.between(begin + at, begin + at + 1).summary() for at in range(int(phase.seconds))],
    }
