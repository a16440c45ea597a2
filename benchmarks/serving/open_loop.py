"""An open loop: requests leave at the moments of a Poisson process, whether the ones before are answered or not.

Latency counts from the moment at which a request was meant to leave, so that a service which stalls is charged for all
that would have come meanwhile (no coordinated omission). Timers of the event loop are good to one millisecond; how late
requests really left is in the result, and so is latency from the moment at which they did.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.serving.connection import LOST, Connection, connect
from benchmarks.serving.samples import UNANSWERED, UNSENT, Samples, percentiles


@dataclass(frozen=True)
class Phase:
    """So many requests a second for so many seconds."""

    rate: float
    seconds: float


@dataclass(frozen=True)
class OpenLoop:
    """Where to ask, at which rates one after the other, over at most how many connections.

    A request that finds them all busy waits for one, on its own time. At the end of a phase those that still wait are
    given up; the last answers are waited for up to `grace` seconds.
    """

    url: str
    phases: tuple[Phase, ...]
    connections: int
    grace: float


class _Pool:
    """The connections, and the requests that wait for one."""

    def __init__(self, plan: OpenLoop, requests: Iterator[bytes]) -> None:
        self._plan, self._requests = plan, requests
        self._idle: list[Connection] = []
        self._open, self._opening = 0, set[asyncio.Task[None]]()
        self.waiting: deque[float] = deque()
        self.out: dict[Connection, float] = {}
        self.samples, self.from_sent, self.lags = Samples(), Samples(), list[float]()

    def arrive(self, moment: float) -> None:
        """One request that was meant to leave at this moment."""
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
        self.out[connection] = moment
        sent = perf_counter()

        def answered(status: int, _: bytes) -> None:
            del self.out[connection]
            now = perf_counter()
            self.samples.add(moment, now - moment, status)
            self.from_sent.add(moment, now - sent, status)
            if status == LOST:
                self._open -= 1
            else:
                self._free(connection)

        connection.ask(next(self._requests), answered)

    def give_up_waiting(self) -> None:
        now = perf_counter()
        while self.waiting:
            moment = self.waiting.popleft()
            self.samples.add(moment, now - moment, UNSENT)

    async def close(self) -> None:
        until = perf_counter() + self._plan.grace
        while self.out and perf_counter() < until:
            await asyncio.sleep(0.02)
        now = perf_counter()
        for moment in self.out.values():
            self.samples.add(moment, now - moment, UNANSWERED)
        for connection in (*self._idle, *self.out):
            connection.close()


async def open_loop(plan: OpenLoop, requests: Iterator[bytes], seed: int = 1) -> dict[str, Any]:
    """Drives the phases one after the other; each has its summary and a line for each second of it."""
    pool, random, bounds = _Pool(plan, requests), np.random.default_rng(seed), list[float]()
    for phase in plan.phases:
        begin = perf_counter()
        bounds.append(begin)
        await _drive(pool, _moments(phase, begin, random))
        await asyncio.sleep(max(0.0, begin + phase.seconds - perf_counter()))
        pool.give_up_waiting()
    bounds.append(perf_counter())
    await pool.close()
    phases = [_told(pool, phase, bounds[place : place + 2]) for place, phase in enumerate(plan.phases)]
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


def _told(pool: _Pool, phase: Phase, bounds: Sequence[float]) -> dict[str, Any]:
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
