"""One prepared query on one PostgreSQL connection, asked by libpq's own calls: a third of the time of a cursor.

The connection lives outside any transaction and serves nothing but this query. A prepared statement belongs to its
connection, and the planner is told what to do when that begins, so a pooler that hands out a connection for each
transaction (pgbouncer's default) cannot stand between.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Self

from psycopg import AsyncConnection, OperationalError
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult

NAME = b"asof_lookup"

PLANNING = {
    # Planning takes longer than the lookup: it is done once. The one way that is good at any size is by index, but an
    # empty table would be read whole, and go on being read so when it is full.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
    "TimeZone": "UTC",
}


class PreparedQuery:
    """A query of one array of bytes. Whatever goes wrong, close it: it may be in the middle of an answer."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection, self._libpq = connection, connection.pgconn

    @classmethod
    async def open(cls, conninfo: str, query: str, *, options: str) -> Self:
        """Connects, and prepares the query. Raises psycopg.Error."""
        planning = " ".join(f"-c {name}={value}" for name, value in PLANNING.items())
        connection = await AsyncConnection.connect(conninfo, options=f"{options} {planning}", autocommit=True)
        prepared = cls(connection)
        try:
            bytea_array = connection.adapters.types["bytea"].array_oid
            connection.pgconn.send_prepare(NAME, query.encode(), [bytea_array])
            await prepared._result()
        except BaseException:
            prepared.close()
            raise
        return prepared

    async def ask(self, parameter: bytes) -> list[tuple[Any, ...]]:
        """All rows. `parameter` is the array in PostgreSQL's binary form. Raises psycopg.Error."""
        self._libpq.send_query_prepared(NAME, [parameter], [Format.BINARY], Format.BINARY)
        result = await self._result()
        loader = Transformer(self._connection)
        loader.set_pgresult(result)
        return loader.load_rows(0, result.ntuples, tuple)

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
    ready = asyncio.Event()
    add(socket, ready.set)
    try:
        await ready.wait()
    finally:
        remove(socket)
