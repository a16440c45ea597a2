"""Connection pools of a store: one for each process and address, with a bounded number of connections.

psycopg_pool is not used because its threads run behind the caller: a fork loses them, and an unreachable server is
reported as a timeout. Here the caller that needs a connection makes it, and gets PostgreSQL's own error. A pool that
has reached its server before retries until the timeout, so that a restart of the server costs callers only some
waiting.
"""

import contextlib
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection, OperationalError, RawCursor
from psycopg import errors as pg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from online_store.encoding.parameters import register
from online_store.errors import LAYOUT_ERRORS, Unreachable
from online_store.session import PLANNING, is_pooled, options

CONNECT_TIMEOUT = 10.0
"""Seconds that a caller waits for a connection: longer than a server takes to restart."""
RETRY_INTERVAL = 0.05
ATTEMPTS = 5


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


class Pool:
    """Thread-safe."""

    def __init__(self, address: Address) -> None:
        self._address, self._reached = address, False
        self._idle: list[Connection[Any]] = []
        self._free = threading.Semaphore(address.max_connections)

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection[Any]]:
        """A connection outside any transaction. Raises Unreachable."""
        if not self._free.acquire(timeout=CONNECT_TIMEOUT):
            raise Unreachable(
                f"None of {self._address.max_connections} connections became free in {CONNECT_TIMEOUT:g} s: raise "
                "max_conn or send fewer requests."
            )
        try:
            connection = self._take() or self._connect()
            try:
                yield connection
            finally:
                self._put_back(connection)
        finally:
            self._free.release()

    def drop(self) -> None:
        """Closes the idle connections."""
        while connection := self._take():
            connection.close()

    def _take(self) -> Connection[Any] | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _put_back(self, connection: Connection[Any]) -> None:
        """Closes at once what is lost or in the middle of a transaction, so that the server ends its session."""
        if connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _connect(self) -> Connection[Any]:
        deadline = time.monotonic() + CONNECT_TIMEOUT
        while True:
            try:
                connection = Connection[Any].connect(self._address.conninfo, autocommit=True, cursor_factory=RawCursor)
            except OperationalError as error:
                if not self._reached or time.monotonic() > deadline:
                    raise Unreachable(str(error)) from error
                time.sleep(RETRY_INTERVAL)
            else:
                self._reached = True
                register(connection)
                # Statements are prepared on request only: those on a staging table are different each time.
                connection.prepare_threshold = None if is_pooled(connection) else 2**31
                return connection


class Pools:
    """The pools of one store. A child process makes its own; those of its parent stay as they are."""

    def __init__(self) -> None:
        self._pools: dict[tuple[int, Address], Pool] = {}
        weakref.finalize(self, _close, self._pools)

    def get(self, address: Address) -> Pool:
        """The pool of this process."""
        return self._pools.setdefault((os.getpid(), address), Pool(address))

    def close(self) -> None:
        """Closes the idle connections of this process."""
        _close(self._pools)


def _close(pools: dict[tuple[int, Address], Pool]) -> None:
    for (process, _), pool in list(pools.items()):
        if process == os.getpid():
            pool.drop()


def attempts(pool: Pool, forget_layouts: Callable[[], None]) -> Iterator[contextlib.AbstractContextManager[None]]:
    """Contexts in which to try the same work, until one succeeds and the caller returns; the last raises all errors.

    The others suppress a changed layout, after `forget_layouts`, and a lost connection, after closing the idle ones:
    where one is lost, the others are too. A cancelled query and Unreachable are raised at once.
    """
    for left in reversed(range(ATTEMPTS)):
        yield _attempt(pool, forget_layouts, is_last=not left)


@contextlib.contextmanager
def _attempt(pool: Pool, forget_layouts: Callable[[], None], *, is_last: bool) -> Iterator[None]:
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
