"""What Feast writes: rows in, chunks of them in the table, each chunk one transaction or none.

A chunk that meets a changed table or a lost connection is written again from its beginning: what was written twice is
as if it were written once.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from psycopg import Connection, OperationalError

from online_store.errors import LayoutMoved, UnfitValue
from online_store.pool import Address, ThreadPool, is_lost
from online_store.pools import Pools
from online_store.reading.lookup import MOVED
from online_store.schema.layout import Layout
from online_store.schema.layouts import KnownLayouts, View
from online_store.writing.copy_format import HEADER, TRAILER
from online_store.writing.rows import Group, Written, encoded, groups
from online_store.writing.upsert import STAGED, begin_chunk, copy_statement, upsert_staged

logger = logging.getLogger("online_store")

CHUNK = 10_000
"""Rows of a transaction at most."""
BUFFER = 1 << 20
"""Bytes that are gathered before they are sent."""
ATTEMPTS = 5


class Writer:
    """Writes by the pools and the layouts that it is given."""

    def __init__(self, pools: Pools, layouts: KnownLayouts) -> None:
        self._pools, self._layouts = pools, layouts
        self._told: set[tuple[View, str]] = set()

    def write(
        self, address: Address, view: View, *, rows: Sequence[Written], progress: Callable[[int], Any] | None
    ) -> None:
        """Calls `progress` with the number of rows of each chunk that is in the table.

        Raises NoLayout, UnfitValue, and psycopg.Error where the server is away.
        """
        left = iter(rows)
        while chunk := list(islice(left, CHUNK)):
            self._write_chunk(address, view, chunk)
            if progress is not None:
                progress(len(chunk))

    def _write_chunk(self, address: Address, view: View, chunk: Sequence[Written]) -> None:
        pool = self._pools.for_threads(address)
        for left in reversed(range(ATTEMPTS)):
            try:
                with pool.connection() as connection:
                    layout = self._layouts.get(connection, view)
                    self._tell_unknown(view, layout, chunk[0])
                    _write_groups(connection, layout, groups(layout, chunk))
                    return
            except (LayoutMoved, *MOVED):
                self._layouts.forget(view)
                if not left:
                    raise
            except UnfitValue:
                if not left or self._is_current(pool, view):
                    raise
            except OperationalError as error:
                if not (left and is_lost(error)):
                    raise
                pool.drop()

    def _is_current(self, pool: ThreadPool, view: View) -> bool:
        """Whether the layout that a value did not fit is still the table's; reads it again."""
        with pool.connection() as connection:
            before = self._layouts.get(connection, view)
            self._layouts.forget(view)
            return self._layouts.get(connection, view) == before

    def _tell_unknown(self, view: View, layout: Layout, row: Written) -> None:
        """Once for each: a writer that has not heard of a change yet still gives what was dropped."""
        for name in row[1].keys() - {each.name for each in layout.features} - {each.name for each in layout.keys}:
            if (view, name) not in self._told:
                self._told.add((view, name))
                logger.warning("View %s has no feature %s in the online store: its values are left out.", view[2], name)


def _write_groups(connection: Connection[Any], layout: Layout, of_chunk: Sequence[Group]) -> None:
    """One transaction. Raises LayoutMoved and UnfitValue."""
    with connection.transaction():
        for group in of_chunk:
            # Of several groups only each one's keys are in order: no other may write meanwhile.
            begin_chunk(connection, layout, partial=group.partial, alone=len(of_chunk) > 1)
            with connection.cursor().copy(copy_statement(layout, partial=group.partial)) as copy:
                for buffer in _buffers(layout, group):
                    copy.write(buffer)
            upsert_staged(connection, layout, partial=group.partial)
            if len(of_chunk) > 1:
                connection.execute(f"DROP TABLE {STAGED}".encode())


def _buffers(layout: Layout, group: Group) -> Iterator[bytes]:
    encode = encoded(layout)
    gathered, size = [HEADER], len(HEADER)
    for row in group.rows:
        data = encode(row)
        gathered.append(data)
        size += len(data)
        if size >= BUFFER:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join([*gathered, TRAILER])
