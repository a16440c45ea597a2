"""Connection pools: one for threads, one for the tasks of an event loop, each with a bounded number of connections.

psycopg_pool is not used because its threads and tasks run behind the caller: `asyncio.run` can hang on a worker that
swallows its cancellation while it connects, a fork loses the threads, and an unreachable server is reported as a
timeout. Here the caller that needs a connection makes it, and gets PostgreSQL's own error. A pool that has reached its
server before retries until the timeout, so that a restart of the server costs callers only some waiting.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from psycopg import AsyncConnection, AsyncRawCursor, Connection, OperationalError, RawCursor
from psycopg import errors as pg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from online_store.encoding.parameters import register
from online_store.errors import LAYOUT_ERRORS, Unreachable
from online_store.session import PLANNING, options

CONNECT_TIMEOUT = 10.0
"""Seconds that a caller waits for a connection: longer than a server takes to restart."""
RETRY_INTERVAL = 0.05
ATTEMPTS = 5

AnyConnection = TypeVar("AnyConnection", bound=Connection[Any] | AsyncConnection[Any])


@dataclass(frozen=True)
class Address:
    """Where the store is, as libpq's parameters, and the number of connections that it may use at a time."""

    parts: tuple[tuple[str, Any], ...] = field(repr=False)
    max_connections: int

    @property
    def conninfo(self) -> str:
        """For libpq."""
        session = {"client_encoding": "UTF8", "options": options(**PLANNING)}
        # Without a timeout, a host that does not answer blocks for two minutes.
        return make_conninfo(**dict(self.parts), **session, connect_timeout=math.ceil(CONNECT_TIMEOUT))


class _Pool(Generic[AnyConnection]):
    def __init__(self, address: Address) -> None:
        self._address, self._reached = address, False
        self._idle: list[AnyConnection] = []

    def drop(self) -> None:
        """Closes the idle connections; also after the event loop is closed."""
        while connection := self._take():
            connection.pgconn.finish()

    def _take(self) -> AnyConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _put_back(self, connection: AnyConnection) -> None:
        """Closes at once what is lost or in the middle of a transaction, so that the server ends its session."""
        if connection.pgconn.transaction_status == TransactionStatus.IDLE and not connection.pgconn.pipeline_status:
            self._idle.append(connection)
        else:
            connection.pgconn.finish()

    def _connected(self, connection: AnyConnection) -> AnyConnection:
        self._reached = True
        register(connection)
        # Statements are prepared on request only: those on a staging table are different each time.
        connection.prepare_threshold = 2**31
        return connection

    def _raise_unless_retried(self, error: OperationalError, deadline: float) -> None:
        if not self._reached or time.monotonic() > deadline:
            raise Unreachable(str(error)) from error

    def _exhausted(self) -> Unreachable:
        return Unreachable(
            f"None of {self._address.max_connections} connections became free in {CONNECT_TIMEOUT:g} s: raise max_conn"
            " or send fewer requests."
        )


class ThreadPool(_Pool[Connection[Any]]):
    """For callers that block."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._free = threading.Semaphore(address.max_connections)

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection[Any]]:
        """A connection outside any transaction. Raises Unreachable."""
        if not self._free.acquire(timeout=CONNECT_TIMEOUT):
            raise self._exhausted()
        try:
            connection = self._take() or self._connect()
            try:
                yield connection
            finally:
                self._put_back(connection)
        finally:
            self._free.release()

    def _connect(self) -> Connection[Any]:
        deadline = time.monotonic() + CONNECT_TIMEOUT
        while True:
            try:
                return self._connected(
                    Connection[Any].connect(self._address.conninfo, autocommit=True, cursor_factory=RawCursor)
                )
            except OperationalError as error:
                self._raise_unless_retried(error, deadline)
                time.sleep(RETRY_INTERVAL)


class LoopPool(_Pool[AsyncConnection[Any]]):
    """For the tasks of one event loop."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._free, self._closed = asyncio.Semaphore(address.max_connections), False

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection outside any transaction. Raises Unreachable."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):  # wait_for may swallow a cancellation
                await self._free.acquire()
        except TimeoutError:
            raise self._exhausted() from None
        try:
            connection = self._take() or await self._connect()
            try:
                yield connection
            finally:
                self._put_back(connection)
                if self._closed:
                    self.drop()
        finally:
            self._free.release()

    def close(self) -> None:
        """Closes the idle connections now, and the others when they are put back."""
        self._closed = True
        self.drop()

    async def _connect(self) -> AsyncConnection[Any]:
        deadline = time.monotonic() + CONNECT_TIMEOUT
        while True:
            try:
                return self._connected(
                    await AsyncConnection[Any].connect(
                        self._address.conninfo, autocommit=True, cursor_factory=AsyncRawCursor
                    )
                )
            except OperationalError as error:
                self._raise_unless_retried(error, deadline)
                await asyncio.sleep(RETRY_INTERVAL)


def attempts(
    pool: ThreadPool | LoopPool, forget_layouts: Callable[[], None]
) -> Iterator[contextlib.AbstractContextManager[None]]:
    """Contexts in which to try the same work, until one succeeds and the caller returns; the last raises all errors.

    The others suppress a changed layout, after `forget_layouts`, and a lost connection, after closing the idle ones:
    where one is lost, the others are too. A cancelled query and Unreachable are raised at once.
    """
    for left in reversed(range(ATTEMPTS)):
        yield _attempt(pool, forget_layouts, is_last=not left)


@contextlib.contextmanager
def _attempt(pool: ThreadPool | LoopPool, forget_layouts: Callable[[], None], *, is_last: bool) -> Iterator[None]:
    try:
        yield
    except LAYOUT_ERRORS:
        forget_layouts()
        if is_last:
            raise
    except OperationalError as error:
        if is_last or isinstance(error, (pg.QueryCanceled, Unreachable)):
            raise
        pool.drop()
