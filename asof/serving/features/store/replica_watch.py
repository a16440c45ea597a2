"""Watches the read replicas: which of them has replayed what the primary had written a moment ago.

A load, a native materialisation and an erasure all count, because positions of the write-ahead log are compared.
Positions of the primary are kept with the time at which they were first seen. A replica is behind by the age of the
oldest that it has not replayed, so the servers' clocks do not matter. While the primary is away nothing new is written,
and a replica that has replayed all that was seen stays current.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from psycopg import AsyncConnection, Error
from psycopg.rows import class_row

from asof.errors import ConfigurationError
from asof.replicas import STATE, ServerState, require_replica, server_name
from asof.serving.features.store.deadline import within
from asof.serving.logs.metrics import Metrics
from asof.settings import Settings

logger = logging.getLogger("asof.serving")

CHECKS_PER_LAG = 4
MIN_INTERVAL, MAX_INTERVAL = 0.05, 1.0
"""Seconds between two checks."""
PROBE_SECONDS = 1.0
"""For one check; a server that takes longer does not answer."""
ABSENCE_SECONDS = 2.0
"""For which a replica stays left after it has failed a lookup: its next state may look good before it is."""
NOT_ASKED = "it was not compared with the primary yet"


@dataclass(eq=False)
class Replica:
    """A replica, and why lookups do not use it: empty where they do."""

    name: str
    settings: Settings
    problem: str = NOT_ASKED
    not_before: float = 0.0


class ReplicaWatch:
    """The replicas of one worker. Call `start` and `close` inside the event loop."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Raises ConfigurationError where a URL is malformed."""
        self._settings, self._metrics = settings, metrics
        self._replicas = [Replica(server_name(each), each) for each in settings.replicas()]
        self._lag = settings.replica_lag_seconds
        self._interval = min(max(self._lag / CHECKS_PER_LAG, MIN_INTERVAL), MAX_INTERVAL)
        self._primary: ServerState | None = None
        self._seen: deque[tuple[float, int]] = deque(maxlen=2 + round(4 * self._lag / self._interval))
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def current(self) -> Sequence[Replica]:
        """The replicas that lookups may use, in an order that stays."""
        return [each for each in self._replicas if not each.problem]

    def start(self) -> None:
        """Begins to ask the primary and each replica, each by itself: one that hangs delays no other."""
        probes = [self._watch_primary(), *(self._watch(each) for each in self._replicas)]
        self._tasks = [asyncio.create_task(each) for each in probes]

    async def close(self) -> None:
        """Ends the connections."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def leave(self, replica: Replica, reason: str) -> None:
        """No lookup uses it for now."""
        replica.not_before = self._now() + ABSENCE_SECONDS
        self._set(replica, reason)

    async def _watch_primary(self) -> None:
        async with _Probe(self._settings) as probe:
            while True:
                with suppress(Error, OSError, TimeoutError):
                    self._see(await within(PROBE_SECONDS, probe.ask()))
                await asyncio.sleep(self._interval)

    def _see(self, state: ServerState) -> None:
        before, self._primary = self._primary, state
        if before and before.timeline != state.timeline:  # its positions may go back
            self._seen.clear()
        if not self._seen:
            self._seen.append((-math.inf, state.position))  # when it was written is unknown
        elif state.position != self._seen[-1][1]:
            self._seen.append((self._now(), state.position))

    async def _watch(self, replica: Replica) -> None:
        async with _Probe(replica.settings) as probe:
            while True:
                self._set(replica, await self._problem(replica, probe))
                await asyncio.sleep(self._interval)

    async def _problem(self, replica: Replica, probe: "_Probe") -> str:
        try:
            state = await within(PROBE_SECONDS, probe.ask())
            if self._primary is None:
                return NOT_ASKED
            require_replica(replica.name, state, self._primary)
        except ConfigurationError as error:
            return str(error)
        except (Error, OSError, TimeoutError) as error:
            return f"it does not answer ({type(error).__name__})"
        behind = self._behind(state.position)
        self._metrics.replica_lag.labels(replica.name).set(behind)
        if behind > (self._lag / 2 if replica.problem else self._lag):
            return f"it is more than {self._lag:g} s behind"
        return replica.problem if self._now() < replica.not_before else ""

    def _behind(self, position: int) -> float:
        """Seconds since the primary was first seen to have written more."""
        return next((self._now() - since for since, written in self._seen if written > position), 0.0)

    def _set(self, replica: Replica, problem: str) -> None:
        """Logs a change."""
        before, replica.problem = replica.problem, problem
        if problem and problem not in (before, NOT_ASKED):
            logger.warning("Replica %s is left by lookups: %s.", replica.name, problem.rstrip("."))
            if not before:
                self._metrics.replicas_left.labels(replica.name).inc()
        elif before and not problem:
            level = logging.INFO if before == NOT_ASKED else logging.WARNING
            logger.log(level, "Replica %s answers lookups.", replica.name)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class _Probe:
    """Asks one server for its state, over a connection that is made again after an error."""

    def __init__(self, settings: Settings) -> None:
        self._conninfo = settings.conninfo()
        self._connection: AsyncConnection[ServerState] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()

    async def ask(self) -> ServerState:
        """Raises psycopg.Error."""
        try:
            if self._connection is None:
                # Nothing is prepared: a pooler may be in between.
                self._connection = await AsyncConnection.connect(
                    self._conninfo, autocommit=True, prepare_threshold=None, row_factory=class_row(ServerState)
                )
            state = await (await self._connection.execute(STATE)).fetchone()
        except BaseException:
            self._close()
            raise
        assert state  # noqa: S101 - functions give one row
        return state

    def _close(self) -> None:
        """At once, without waiting for a query that is running."""
        if self._connection is not None:
            self._connection.pgconn.finish()
            self._connection = None
