"""Rows from one PostgreSQL straight to another, in COPY's binary form: a query in, counts of rows out, chunk by chunk.

No value is looked at on the way. The server sends a message for each row, so a chunk ends where a row does. A chunk is
gathered before its transaction begins: however long the source takes, no lock waits for it.
"""

import struct
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from select import POLLIN, POLLOUT, poll
from typing import Any

from psycopg import Connection, Error, OperationalError
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from online_store.schema.layout import Layout
from online_store.writing.upsert import begin_chunk, copy_statement, upsert_staged

ROWS = 20_000
"""Of a chunk, unless it is full before."""

BYTES, BATCH = 8_000_000, 64
"""Bytes after which a chunk is full, and the rows after which that is looked at."""

PATIENCE = 5.0
"""Seconds to tell a server that its answer is not wanted any more."""

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
HEADER = SIGNATURE + struct.pack("!ii", 0, 0)
END = b"\xff\xff"


@dataclass(frozen=True)
class Chunk:
    """Whole rows: how many, and their bytes in order."""

    rows: int
    blocks: tuple[bytes, ...]


def relay(
    source: Connection[Any], query: str, target: Connection[Any], layout: Layout, *, rows: int = ROWS
) -> Generator[tuple[int, int], None, None]:
    """Brings the query's rows into the layout's table; gives each chunk's rows, and how many of them changed something.

    The query gives the staging table's columns in their order and types, and each key once. `target` is in autocommit:
    a chunk is one transaction. Raises psycopg.Error, with all chunks before in place and nothing of this one.
    """
    # Closed by us: an error's traceback would keep it, and its thread, for as long as somebody keeps the error.
    with closing(_ahead(source, chunks(source, query, rows=rows))) as gathered:
        for chunk in gathered:
            yield chunk.rows, _bring(target, layout, chunk)


def _bring(target: Connection[Any], layout: Layout, chunk: Chunk) -> int:
    with target.transaction():
        begin_chunk(target, layout)
        with target.cursor() as cursor, cursor.copy(copy_statement(layout)) as copy:
            for block in (HEADER, *chunk.blocks, END):
                copy.write(block)
        return upsert_staged(target, layout)


def _ahead(source: Connection[Any], coming: Iterator[Chunk]) -> Generator[Chunk, None, None]:
    """The same chunks; while one is being worked on, a thread gathers the next, and the source's server works, too."""
    with ThreadPoolExecutor(1, thread_name_prefix="relay") as thread:
        try:
            following = thread.submit(next, coming, None)
            while (chunk := following.result()) is not None:
                following = thread.submit(next, coming, None)
                yield chunk
        except BaseException:  # also where nobody asks for more: the source's server must not go on for nobody
            with suppress(Error):  # a server that is gone needs not be told
                source.cancel_safe(timeout=PATIENCE)
            raise


def chunks(source: Connection[Any], query: str, *, rows: int = ROWS) -> Iterator[Chunk]:
    """The query's rows, at most so many in one chunk. Raises psycopg.Error."""
    messages = _messages(source, query)
    blocks, count, size = list[bytes](), 0, 0
    while batch := list(islice(messages, min(BATCH, rows - count))):
        blocks.append(b"".join(batch))
        count, size = count + len(batch), size + len(blocks[-1])
        if count == rows or size >= BYTES:
            yield Chunk(count, tuple(blocks))
            blocks, count, size = [], 0, 0
    if count:
        yield Chunk(count, tuple(blocks))


def _messages(source: Connection[Any], query: str) -> Iterator[Any]:
    """A message for each row; by libpq's own calls, because a cursor's take twice as long."""
    libpq = source.pgconn
    libpq.send_query(f"COPY ({query}) TO STDOUT (FORMAT binary)".encode())
    _expect(_result(libpq), ExecStatus.COPY_OUT)
    first = True
    while (message := _message(libpq)) is not None:
        if first:  # it bears the header, too
            first, message = False, message[_header(message) :]
        if message and message != END:
            yield message
    _expect(_result(libpq), ExecStatus.COMMAND_OK)
    while _result(libpq) is not None:  # only then the connection is free again
        pass


def _message(libpq: PGconn) -> Any:
    """The next message, or None after the last."""
    while True:
        size, message = libpq.get_copy_data(1)
        if size > 0:
            return message
        if size < 0:
            return None
        _wait(libpq)


def _result(libpq: PGconn) -> PGresult | None:
    while libpq.flush():
        _wait(libpq, POLLIN | POLLOUT)
    while libpq.is_busy():
        _wait(libpq)
    return libpq.get_result()


def _wait(libpq: PGconn, events: int = POLLIN) -> None:
    """Until the server has sent something; the interpreter can be interrupted meanwhile."""
    waiting = poll()
    waiting.register(libpq.socket, events)
    waiting.poll()
    libpq.consume_input()


def _expect(result: PGresult | None, status: ExecStatus) -> None:
    if result is None:
        raise OperationalError("The source's server closed the connection.")
    if result.status != status:
        raise error_from_result(result)


def _header(message: Any) -> int:
    """The header's length. Raises ValueError where this is not COPY's binary form."""
    if bytes(message[: len(SIGNATURE)]) != SIGNATURE:
        raise ValueError("The source's server does not send COPY's binary form.")
    start = len(SIGNATURE) + 4
    (extension,) = struct.unpack("!i", message[start : start + 4])
    return start + 4 + int(extension)
