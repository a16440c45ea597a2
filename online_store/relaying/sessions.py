"""Concurrent transfers, a few at a time, which reuse each other's connections."""

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cached_property
from typing import Any, Self

from feast import RepoConfig
from feast.infra.utils.postgres.connection_utils import _get_conn
from psycopg import Connection, Error, connect

from online_store.errors import LayoutChanged
from online_store.relaying.relay import CANCEL_TIMEOUT
from online_store.store import address_of

STOP_INTERVAL = 0.2
DATABASE_FIELDS = ("host", "port", "database", "user")


class Session:
    """The connections of one transfer at a time, made at their first use."""

    def __init__(self, config: RepoConfig) -> None:
        self._config, self._open = config, list[Connection[Any]]()
        self.stopped = False

    @cached_property
    def source(self) -> Connection[Any]:
        """Made as the offline store makes it, with what its `db_schema` sets; read-only by default."""
        connection: Connection[Any] = _get_conn(self._config.offline_store)
        self._open.append(connection)
        connection.autocommit, connection.prepare_threshold = True, None
        connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        return connection

    @cached_property
    def target(self) -> Connection[Any]:
        """Made as the online store makes it."""
        connection = connect(address_of(self._config).conninfo, autocommit=True)
        self._open.append(connection)
        return connection

    @property
    def is_one_database(self) -> bool:
        """Whether both stores are in one database, of one user."""
        stores = self._config.offline_store, self._config.online_store
        one, other = ([str(getattr(store, each)) for each in DATABASE_FIELDS] for store in stores)
        return one == other

    def stop(self) -> None:
        """From another thread: cancels what is running, and lets nothing follow."""
        self.stopped = True
        for connection in self._open:
            with contextlib.suppress(Error):  # the server may be gone
                connection.cancel_safe(timeout=CANCEL_TIMEOUT)

    def close(self) -> None:
        """Closes the connections."""
        for connection in self._open:
            connection.close()


Work = Callable[[Session], bool]


class Transfers:
    """A context for one materialisation; leaving it by an exception cancels what is running."""

    def __init__(self, config: RepoConfig, at_once: int) -> None:
        self._config, self._sessions, self._idle = config, list[Session](), list[Session]()
        self._futures = list[Future[bool]]()
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="materialise")

    def begin(self, work: Work) -> Future[bool]:
        """Runs the work in a thread, with a session of its own; once again if a table changes meanwhile."""
        self._futures.append(self._threads.submit(self._retried, work))
        return self._futures[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: Any, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        while error is not None and not all(each.done() for each in self._futures):
            for session in tuple(self._sessions):
                session.stop()  # repeatedly: it may be between two statements
            wait(self._futures, timeout=STOP_INTERVAL)
        self._threads.shutdown()
        for session in self._sessions:
            session.close()

    def _retried(self, work: Work) -> bool:
        try:
            return self._run(work)
        except LayoutChanged:
            return self._run(work)

    def _run(self, work: Work) -> bool:
        session = self._session()
        try:
            result = work(session)
        except BaseException:
            session.close()  # it may be in the middle of something
            raise
        self._idle.append(session)
        return result

    def _session(self) -> Session:
        try:
            return self._idle.pop()
        except IndexError:
            self._sessions.append(Session(self._config))
            return self._sessions[-1]
