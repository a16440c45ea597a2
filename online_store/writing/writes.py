"""Feast's writes: rows in chunks, each chunk in one transaction.

A chunk that meets a changed table or a lost connection is written again from its start: writing rows twice has the same
result as writing them once.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from psycopg import Connection

from online_store.encoding.copy_format import HEADER, TRAILER
from online_store.errors import InvalidValue, LayoutChanged
from online_store.pool import Address, Pool, Pools, attempts
from online_store.schema.layout import Layout, LayoutCache, ViewKey
from online_store.writing.rows import FeastRow, Group, group_rows, row_encoder
from online_store.writing.upsert import STAGED, begin_chunk, copy_statement, upsert_staged

logger = logging.getLogger("online_store")

CHUNK_ROWS = 10_000
"""At most, in one transaction."""
BUFFER_BYTES = 1 << 20
"""Collected before they are sent."""


class Writer:
    """Thread-safe, as its pools and its layouts are."""

    def __init__(self, pools: Pools, layouts: LayoutCache) -> None:
        self._pools, self._layouts = pools, layouts
        self._reported: set[tuple[ViewKey, str]] = set()

    def write(
        self, address: Address, view: ViewKey, *, rows: Sequence[FeastRow], progress: Callable[[int], Any] | None
    ) -> None:
        """Calls `progress` with the number of rows of each chunk after its commit.

        Raises NoLayout, InvalidValue, and psycopg.Error where the server is down.
        """
        remaining = iter(rows)
        while chunk := list(islice(remaining, CHUNK_ROWS)):
            self._write_chunk(address, view, chunk)
            if progress is not None:
                progress(len(chunk))

    def _write_chunk(self, address: Address, view: ViewKey, chunk: Sequence[FeastRow]) -> None:
        pool = self._pools.get(address)
        for attempt in attempts(pool, lambda: self._layouts.forget(view)):
            with attempt:
                try:
                    with pool.connection() as connection:
                        layout = self._layouts.get(connection, view)
                        self._report_unknown(view, layout, chunk[0])
                        _write_groups(connection, layout, group_rows(layout, chunk))
                        return
                except InvalidValue as error:
                    if self._is_current(pool, view):
                        raise
                    raise LayoutChanged(f"The table of view {view[2]} has changed.") from error

    def _is_current(self, pool: Pool, view: ViewKey) -> bool:
        """Whether the cached layout is still the table's; reads it again."""
        with pool.connection() as connection:
            cached = self._layouts.get(connection, view)
            self._layouts.forget(view)
            return self._layouts.get(connection, view) == cached

    def _report_unknown(self, view: ViewKey, layout: Layout, row: FeastRow) -> None:
        """Logs each feature once: a writer that has not heard of a change yet still sends what was dropped."""
        for name in row[1].keys() - {each.name for each in (*layout.features, *layout.keys)}:
            if (view, name) not in self._reported:
                self._reported.add((view, name))
                logger.warning("View %s has no feature %s in the online store: its values are left out.", view[2], name)


def _write_groups(connection: Connection[Any], layout: Layout, groups: Sequence[Group]) -> None:
    """In one transaction. Raises LayoutChanged and InvalidValue."""
    with connection.transaction():
        for group in groups:
            # Keys are in order only within a group: with several, other writers must wait to avoid a deadlock.
            begin_chunk(connection, layout, partial=group.partial, exclusive=len(groups) > 1)
            with connection.cursor().copy(copy_statement(layout, partial=group.partial)) as copy:
                for buffer in _buffers(layout, group):
                    copy.write(buffer)
            upsert_staged(connection, layout, partial=group.partial)
            if len(groups) > 1:
                connection.execute(f"DROP TABLE {STAGED}".encode())


def _buffers(layout: Layout, group: Group) -> Iterator[bytes]:
    encode = row_encoder(layout)
    parts, size = [HEADER], len(HEADER)
    for row in group.rows:
        data = encode(row)
        parts.append(data)
        size += len(data)
        if size >= BUFFER_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join([*parts, TRAILER])
