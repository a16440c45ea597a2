"""Prepared queries on one PostgreSQL connection, executed by libpq calls, in a third of the time of a cursor.

The connection is used for nothing else, outside any transaction. Prepared statements belong to the session, which a
pooler shares with others: behind one a query is parsed and planned each time, in the message that executes it.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from psycopg import AsyncConnection, OperationalError, adapt
from psycopg.abc import Transformer
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult

from online_store.session import BACKEND, PLANNING, options

LOOKUP_PLANNING = {**PLANNING, "enable_bitmapscan": "off"}
"""Only a nested loop by index: for an empty table the planner would choose another scan, and keep it later."""


class PreparedQueries:
    """A connection for prepared queries. Close it after any error: it may be in the middle of a result."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection, self._libpq, self._pooled = connection, connection.pgconn, False
        self._queries: dict[bytes, tuple[bytes, Sequence[int]]] = {}
        self._loader: Transformer | None = None

    @classmethod
    async def connect(cls, conninfo: str) -> Self:
        """Connects; `prepare` comes next. Raises psycopg.Error."""
        existing = str(conninfo_to_dict(conninfo).get("options") or "")
        changed = {"client_encoding": "UTF8", "options": options(existing, **LOOKUP_PLANNING)}
        address = make_conninfo(conninfo, **changed)
        queries = cls(await AsyncConnection.connect(address, autocommit=True, prepare_threshold=None))
        with queries.closed_on_failure():
            row = await (await queries.connection.execute(BACKEND)).fetchone()
            queries._pooled = row != (queries.connection.info.backend_pid,)
        return queries

    async def prepare(self, name: bytes, query: str, types: Sequence[int] = ()) -> None:
        """`types` are the OIDs of the parameters. Raises psycopg.Error."""
        self._queries[name] = query.encode(), types
        if not self._pooled:
            self._libpq.send_prepare(name, query.encode(), types)
            await self._result()

    async def ask(self, name: bytes, *parameters: bytes) -> PGresult:
        """Executes the query; `parameters` are in PostgreSQL's binary format. Raises psycopg.Error."""
        formats = [Format.BINARY] * len(parameters)
        if self._pooled:
            query, types = self._queries[name]
            self._libpq.send_query_params(query, parameters, types, formats, Format.BINARY)
        else:
            self._libpq.send_query_prepared(name, parameters, formats, Format.BINARY)
        return await self._result()

    def rows(self, result: PGresult) -> list[tuple[Any, ...]]:
        """All rows as Python values, by the connection's adapters."""
        self.loader.set_pgresult(result)
        return self.loader.load_rows(0, result.ntuples, tuple)

    @property
    def loader(self) -> Transformer:
        """Uses the adapters that the connection has at its first use."""
        if self._loader is None:
            self._loader = adapt.Transformer(self.connection)
        return self._loader

    @contextmanager
    def closed_on_failure(self) -> Iterator[None]:
        """Closes the connection if the block raises or is cancelled."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """At once, without waiting for a query that is running."""
        self._libpq.finish()

    async def _result(self) -> PGresult:
        """Sends what is buffered, and waits for the last result before the end mark."""
        loop, socket = asyncio.get_running_loop(), self._libpq.socket
        while self._libpq.flush():
            await _readiness(loop.add_writer, loop.remove_writer, socket)
        last: PGresult | None = None
        while True:
            while self._libpq.is_busy():
                await _readiness(loop.add_reader, loop.remove_reader, socket)
                self._libpq.consume_input()
            result = self._libpq.get_result()
            if result is None:
                break
            last = result
        if last is None or self._libpq.status == ConnStatus.BAD:
            raise OperationalError("The server closed the connection.")
        if last.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
            raise error_from_result(last)
        return last


async def _readiness(add: Callable[..., Any], remove: Callable[[int], Any], socket: int) -> None:
    """Registers again each time, because uvloop drops a socket with an error after reporting it once."""
    ready = asyncio.Event()
    add(socket, ready.set)
    try:
        await ready.wait()
    finally:
        remove(socket)
