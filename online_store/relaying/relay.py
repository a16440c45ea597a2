"""Transfers rows from one PostgreSQL to another by binary COPY: a query in, the number of rows of each chunk out.

Values are not decoded. The server sends one message per row, so a chunk ends at a row. A chunk is collected before its
transaction begins, so that no lock is held while the source is slow.
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

from online_store.encoding.copy_format import HEADER, TRAILER
from online_store.schema.layout import Layout
from online_store.writing.upsert import begin_chunk, copy_statement, upsert_staged

CHUNK_ROWS, CHUNK_BYTES = 20_000, 8_000_000
"""A chunk ends at either; the bytes are checked every BATCH_ROWS rows."""
BATCH_ROWS = 64
CANCEL_TIMEOUT = 5.0
"""Seconds for cancelling a query."""

SIGNATURE = HEADER[:11]


@dataclass(frozen=True)
class Chunk:
    """Whole rows, encoded, in order."""

    rows: int
    blocks: tuple[bytes, ...]


def relay(
    source: Connection[Any], query: str, target: Connection[Any], layout: Layout, *, rows: int = CHUNK_ROWS
) -> Generator[tuple[int, int], None, None]:
    """Upserts the query's rows into the layout's table; yields rows and changed rows of each chunk.

    The query returns the columns of the staging table, in their order and types, and each key once. `target` is in
    autocommit mode: a chunk is one transaction. Raises psycopg.Error, after all chunks before are committed.
    """
    # Closed here, because the traceback of an error would keep the generator and its thread alive.
    with closing(_prefetched(source, chunks(source, query, rows=rows))) as prefetched:
        for chunk in prefetched:
            yield chunk.rows, _upsert(target, layout, chunk)


def _upsert(target: Connection[Any], layout: Layout, chunk: Chunk) -> int:
    with target.transaction():
        begin_chunk(target, layout)
        with target.cursor() as cursor, cursor.copy(copy_statement(layout)) as copy:
            for block in (HEADER, *chunk.blocks, TRAILER):
                copy.write(block)
        return upsert_staged(target, layout)


def _prefetched(source: Connection[Any], source_chunks: Iterator[Chunk]) -> Generator[Chunk, None, None]:
    """The same chunks; a thread collects the next one while the caller works on one."""
    with ThreadPoolExecutor(1, thread_name_prefix="relay") as thread:
        try:
            following = thread.submit(next, source_chunks, None)
            while (chunk := following.result()) is not None:
                following = thread.submit(next, source_chunks, None)
                yield chunk
        except BaseException:  # GeneratorExit included: the query must not go on when its rows are no longer wanted
            with suppress(Error):  # the server may be gone
                source.cancel_safe(timeout=CANCEL_TIMEOUT)
            raise


def chunks(source: Connection[Any], query: str, *, rows: int = CHUNK_ROWS) -> Iterator[Chunk]:
    """The query's rows, at most `rows` in a chunk. Raises psycopg.Error."""
    messages = _messages(source, query)
    blocks, count, size = list[bytes](), 0, 0
    while batch := list(islice(messages, min(BATCH_ROWS, rows - count))):
        blocks.append(b"".join(batch))
        count, size = count + len(batch), size + len(blocks[-1])
        if count == rows or size >= CHUNK_BYTES:
            yield Chunk(count, tuple(blocks))
            blocks, count, size = [], 0, 0
    if count:
        yield Chunk(count, tuple(blocks))


def _messages(source: Connection[Any], query: str) -> Iterator[Any]:
    """A message for each row, by libpq calls, because a cursor takes twice as long."""
    libpq = source.pgconn
    libpq.send_query(f"COPY ({query}) TO STDOUT (FORMAT binary)".encode())
    _expect(_result(libpq), ExecStatus.COPY_OUT)
    first = True
    while (message := _message(libpq)) is not None:
        if first:  # includes the header
            first, message = False, message[_header(message) :]
        if message and message != TRAILER:
            yield message
    _expect(_result(libpq), ExecStatus.COMMAND_OK)
    while _result(libpq) is not None:  # until then the connection is busy
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
    """Until the server has sent something; a signal can interrupt it."""
    waiting = poll()
    waiting.register(libpq.socket, events)
    waiting.poll()
    libpq.consume_input()


def _expect(result: PGresult | None, status: ExecStatus) -> None:
    if result is None:
        raise OperationalError("The source closed the connection.")
    if result.status != status:
        raise error_from_result(result)


def _header(message: Any) -> int:
    """The length of the header. Raises ValueError if this is not a binary COPY."""
    if bytes(message[: len(SIGNATURE)]) != SIGNATURE:
        raise ValueError("The source does not send a binary COPY.")
    start = len(SIGNATURE) + 4
    (extension,) = struct.unpack("!i", message[start : start + 4])
    return start + 4 + int(extension)
