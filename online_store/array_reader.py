"""Features of many entities as NumPy arrays, from several views in one round trip, without Feast or protobuf."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import numpy as np
from psycopg.pq.abc import PGresult

from online_store.errors import LayoutChanged
from online_store.reading.columns import ArraysResult, Columns, Positions, ReadColumn, sorted_positions
from online_store.reading.direct_lookup import ATTEMPTS, DirectLookup, Source
from online_store.reading.direct_query import LookupPlan, arrays_query
from online_store.reading.prepared_queries import PreparedQueries

__all__ = ["ArrayReader", "ReadColumn"]

SPLIT_FROM = 100
"""The number of keys from which a lookup is split over two connections."""


class ArrayReader:
    """Reads the same features again and again, one lookup at a time.

    Many keys are looked up in two halves at the same time, because most of the time is the server's.
    """

    def __init__(self, source: Source, features: Sequence[tuple[str, str]], *, nan_is_null: bool = False) -> None:
        """`features` are pairs of view and feature, in the order of the columns that `read` returns."""
        self._lookups = [DirectLookup(source, features, _ArraysQuery, nan_is_null=nan_is_null) for _ in range(2)]

    async def read(self, keys: Mapping[str, Sequence[Any]]) -> list[ReadColumn]:
        """A column of n values for each feature; `keys` has n values for each join key.

        Raises psycopg.Error, NoLayout and Unsupported as `DirectLookup.read` does.
        """
        order = sorted_positions(next(iter(keys.values())))
        parts = np.array_split(order, len(self._lookups)) if len(order) >= SPLIT_FROM else [order]
        for _ in range(ATTEMPTS):
            columns = Columns(len(order))
            halves = zip(self._lookups, parts, strict=False)
            reads = [_read_part(lookup, keys, part, columns=columns) for lookup, part in halves]
            await (reads[0] if len(reads) == 1 else _all(reads))
            if columns.agree:
                return columns.result()
        raise LayoutChanged("The tables change faster than they can be read.")

    async def close(self) -> None:
        """Closes the connections."""
        for lookup in self._lookups:
            await lookup.close()


class _ArraysQuery:
    """The query for arrays; `Columns` decodes its one row."""

    def __init__(self, plan: LookupPlan) -> None:
        self.query, self._plan = arrays_query(plan), plan

    def decode(self, prepared: PreparedQueries, result: PGresult, count: int) -> tuple[ArraysResult, bool]:  # noqa: ARG002
        if int.from_bytes(result.get_value(0, 0) or b"") != len(self._plan.parts):
            raise LayoutChanged("The tables have changed: read their layouts again.")
        return ArraysResult(self._plan, result, prepared.loader), True


async def _read_part(
    lookup: DirectLookup[ArraysResult], keys: Mapping[str, Sequence[Any]], part: Positions, *, columns: Columns
) -> None:
    positions = part.tolist()
    result = await lookup.read({name: [values[position] for position in positions] for name, values in keys.items()})
    columns.add(result, part)


async def _all(reads: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Runs them at the same time, each to its end even if another fails."""
    for result in await asyncio.gather(*reads, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
