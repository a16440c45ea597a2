"""Prepared queries on one PostgreSQL connection, asked by libpq's own calls: a third of the time of a cursor.

The connection lives outside any transaction and serves nothing but these. A prepared statement belongs to its
connection, and the planner is told what to do when that begins, so a pooler that hands out a connection for each
transaction (pgbouncer's default) cannot stand between.
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

from online_store.session import options

PLANNING = {
    # Planning takes longer than the lookup: it is done once. The one way that is good at any size is key by key, by
    # index; but an empty table would be read whole, and go on being read so when it is full.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


class PreparedQueries:
    """A connection for prepared queries. Whatever goes wrong, close it: it may be in the middle of an answer."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection, self._libpq = connection, connection.pgconn
        self._loader: Transformer | None = None

    @classmethod
    async def connect(cls, conninfo: str) -> Self:
        """Connects; `prepare` comes next. Raises psycopg.Error."""
        given = conninfo_to_dict(conninfo).get("options") or ""
        told = {"client_encoding": "UTF8", "options": options(str(given), **PLANNING)}
        return cls(await AsyncConnection.connect(make_conninfo(conninfo, **told), autocommit=True))

    async def prepare(self, name: bytes, query: str, types: Sequence[int] = ()) -> None:
        """Prepares the query; `types` are the numbers of its parameters' types. Raises psycopg.Error."""
        self._libpq.send_prepare(name, query.encode(), types)
        await self._result()

    async def ask(self, name: bytes, *parameters: bytes) -> PGresult:
        """The answer. `parameters` are in PostgreSQL's binary form. Raises psycopg.Error."""
        formats = [Format.BINARY] * len(parameters)
        self._libpq.send_query_prepared(name, parameters, formats, Format.BINARY)
        return await self._result()

    def rows(self, answer: PGresult) -> list[tuple[Any, ...]]:
        """All rows of an answer, with Python's values as the connection's adapters make them."""
        self.loader.set_pgresult(answer)
        return self.loader.load_rows(0, answer.ntuples, tuple)

    @property
    def loader(self) -> Transformer:
        """What makes Python's values of PostgreSQL's, by the connection's adapters as they are at its first use."""
        if self._loader is None:
            self._loader = adapt.Transformer(self.connection)
        return self._loader

    @contextmanager
    def closed_on_failure(self) -> Iterator[None]:
        """Closes the connection where the block does not end well, or is cancelled."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """At once, whatever the server does; a query that is under way goes unanswered."""
        self._libpq.finish()

    async def _result(self) -> PGresult:
        """Sends what is to be sent and waits for the last result; the one before its end mark is the answer."""
        loop, socket = asyncio.get_running_loop(), self._libpq.socket
        while self._libpq.flush():
            await _readiness(loop.add_writer, loop.remove_writer, socket)
        answer: PGresult | None = None
        while True:
            while self._libpq.is_busy():
                await _readiness(loop.add_reader, loop.remove_reader, socket)
                self._libpq.consume_input()
            result = self._libpq.get_result()
            if result is None:
                break
            answer = result
        if answer is None or self._libpq.status == ConnStatus.BAD:
            raise OperationalError("The server closed the connection.")
        if answer.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
            raise error_from_result(answer)
        return answer


async def _readiness(add: Callable[..., Any], remove: Callable[[int], Any], socket: int) -> None:
    """Each time anew: uvloop gives up a socket with an error after it has told of it once."""
    ready = asyncio.Event()
    add(socket, ready.set)
    try:
        await ready.wait()
    finally:
        remove(socket)
