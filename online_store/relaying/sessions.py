"""Transfers side by side, a few at a time, on connections that one leaves to the next."""

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cached_property
from typing import Any, Self

from feast import RepoConfig
from feast.infra.utils.postgres.connection_utils import _get_conn
from psycopg import Connection, Error, connect

from online_store.errors import LayoutMoved
from online_store.relaying.relay import PATIENCE
from online_store.store import address_of

PAUSE = 0.2
ONE_DATABASE = ("host", "port", "database", "user")


class Session:
    """The connections of one transfer at a time, each made when it is first used."""

    def __init__(self, config: RepoConfig) -> None:
        self._config, self._open = config, list[Connection[Any]]()
        self.stopped = False

    @cached_property
    def source(self) -> Connection[Any]:
        """As the offline store connects, so that what its `db_schema` sets holds here, too. It only reads, unless a
        transaction says otherwise."""
        connection: Connection[Any] = _get_conn(self._config.offline_store)
        self._open.append(connection)
        connection.autocommit, connection.prepare_threshold = True, None
        connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        return connection

    @cached_property
    def target(self) -> Connection[Any]:
        """As the online store connects."""
        connection = connect(address_of(self._config).conninfo, autocommit=True)
        self._open.append(connection)
        return connection

    @property
    def is_one_database(self) -> bool:
        """Whether the source's connection reaches the online store's tables, too."""
        stores = self._config.offline_store, self._config.online_store
        one, other = ([str(getattr(store, each)) for each in ONE_DATABASE] for store in stores)
        return one == other

    def stop(self) -> None:
        """From another thread: what is under way fails, and nothing follows it."""
        self.stopped = True
        for connection in self._open:
            with contextlib.suppress(Error):  # a server that is gone needs not be told
                connection.cancel_safe(timeout=PATIENCE)

    def close(self) -> None:
        """Closes the connections."""
        for connection in self._open:
            connection.close()


Work = Callable[[Session], bool]


class Transfers:
    """For one materialisation: a context. Whoever leaves it by an exception does not wait for what is under way."""

    def __init__(self, config: RepoConfig, at_once: int) -> None:
        self._config, self._sessions, self._idle = config, list[Session](), list[Session]()
        self._begun = list[Future[bool]]()
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="materialise")

    def begin(self, work: Work) -> Future[bool]:
        """Does the work in a thread, with a session of its own; anew, once, where a table changes on the way."""
        self._begun.append(self._threads.submit(self._repeated, work))
        return self._begun[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: Any, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        while error is not None and not all(each.done() for each in self._begun):
            for session in tuple(self._sessions):
                session.stop()  # again and again: it may have been between two statements
            wait(self._begun, timeout=PAUSE)
        self._threads.shutdown()
        for session in self._sessions:
            session.close()

    def _repeated(self, work: Work) -> bool:
        try:
            return self._done(work)
        except LayoutMoved:
            return self._done(work)

    def _done(self, work: Work) -> bool:
        session = self._taken()
        try:
            done = work(session)
        except BaseException:
            session.close()  # it may be in the middle of something
            raise
        self._idle.append(session)
        return done

    def _taken(self) -> Session:
        try:
            return self._idle.pop()
        except IndexError:
            self._sessions.append(Session(self._config))
            return self._sessions[-1]
