"""Connections: an address in, a bounded number of them out, shared by threads, or by the tasks of one event loop.

Of our own rather than psycopg_pool's: no thread and no task runs behind the caller's back. There, `asyncio.run` may
wait for ever for a worker that swallows its cancellation while it connects; a fork loses the threads; and a server
that cannot be reached is told as a time-out. Here whoever needs a connection makes it, and gets PostgreSQL's own words
when that fails.

Once a pool has reached its server it is patient: a server that starts again costs its callers some waiting.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection, AsyncRawCursor, Connection, OperationalError, RawCursor
from psycopg import errors as pg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from online_store.errors import Unreachable
from online_store.reading.parameters import register
from online_store.session import options

PATIENCE = 10.0
"""Seconds that a caller waits for a connection: longer than a server takes to start again."""
PAUSE = 0.05

PLANNING = {
    # Planning takes longer than a lookup: it is done once. The one way that is good at any size is by index.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}

AnyConnection = Connection[Any] | AsyncConnection[Any]


@dataclass(frozen=True)
class Address:
    """Where the store is, in libpq's words, and how many connections it may have at the same time."""

    parts: tuple[tuple[str, Any], ...] = field(repr=False)
    most: int

    @property
    def conninfo(self) -> str:
        """For libpq."""
        session = {"client_encoding": "UTF8", "options": options(**PLANNING)}
        # A host that does not answer would be waited for for two minutes.
        return make_conninfo(**dict(self.parts), **session, connect_timeout=math.ceil(PATIENCE))


def is_lost(error: OperationalError) -> bool:
    """Whether a second attempt makes sense: not where somebody has cancelled it, or no connection was to be had."""
    return not isinstance(error, (pg.QueryCanceled, Unreachable))


class ThreadPool:
    """For callers that block."""

    def __init__(self, address: Address) -> None:
        self._address, self._idle, self._reached = address, list[Connection[Any]](), False
        self._free = threading.Semaphore(address.most)

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection[Any]]:
        """A connection outside of any transaction. Raises Unreachable."""
        if not self._free.acquire(timeout=PATIENCE):
            raise _none_is_free(self._address)
        try:
            connection = self._take() or self._connect()
            try:
                yield connection
            finally:
                _put_back(connection, self._idle)
        finally:
            self._free.release()

    def drop(self) -> None:
        """Closes those that nobody uses: where one is lost, the others are as well."""
        while connection := self._take():
            connection.pgconn.finish()

    def _take(self) -> Connection[Any] | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _connect(self) -> Connection[Any]:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                connection = Connection[Any].connect(self._address.conninfo, autocommit=True, cursor_factory=RawCursor)
                break
            except OperationalError as error:
                if not self._reached or time.monotonic() > until:
                    raise Unreachable(str(error)) from error
                time.sleep(PAUSE)
        self._reached = True
        _prepare(connection)
        return connection


class LoopPool:
    """The same for the tasks of one event loop."""

    def __init__(self, address: Address) -> None:
        self._address, self._idle, self._reached = address, list[AsyncConnection[Any]](), False
        self._closed = False
        self._free = asyncio.Semaphore(address.most)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection outside of any transaction. Raises Unreachable."""
        try:
            async with asyncio.timeout(PATIENCE):  # wait_for may keep a cancellation to itself
                await self._free.acquire()
        except TimeoutError:
            raise _none_is_free(self._address) from None
        try:
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                yield connection
            finally:
                _put_back(connection, self._idle)
                if self._closed:
                    self.drop()
        finally:
            self._free.release()

    def close(self) -> None:
        """Closes those that nobody uses, and the others when they are given back."""
        self._closed = True
        self.drop()

    def drop(self) -> None:
        """Closes those that nobody uses; also when the loop is closed."""
        while self._idle:
            connection = self._idle.pop()  # held by name until it is closed, or it would warn of being left open
            connection.pgconn.finish()

    async def _connect(self) -> AsyncConnection[Any]:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                connection = await AsyncConnection[Any].connect(
                    self._address.conninfo, autocommit=True, cursor_factory=AsyncRawCursor
                )
                break
            except OperationalError as error:
                if not self._reached or time.monotonic() > until:
                    raise Unreachable(str(error)) from error
                await asyncio.sleep(PAUSE)
        self._reached = True
        _prepare(connection)
        return connection


def _prepare(connection: AnyConnection) -> None:
    register(connection)
    # Only what asks for it is prepared: statements on a staging table are others each time.
    connection.prepare_threshold = 2**31


def _put_back(connection: AnyConnection, idle: list[Any]) -> None:
    """Closes what is lost, or was left in the middle of something, at once: the server then forgets it."""
    if connection.pgconn.transaction_status == TransactionStatus.IDLE and not connection.pgconn.pipeline_status:
        idle.append(connection)
    else:
        connection.pgconn.finish()


def _none_is_free(address: Address) -> Unreachable:
    return Unreachable(
        f"None of {address.most} connections came free in {PATIENCE:g} s: raise max_conn, or ask for less."
    )
