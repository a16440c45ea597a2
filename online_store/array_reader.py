"""Many entities' features as NumPy's arrays, of several views in one round trip: no protobuf, no object of a number."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import numpy as np
from psycopg.pq.abc import PGresult

from online_store.errors import LayoutMoved
from online_store.reading.columns import Answer, Columns, Places, ReadColumn, in_order
from online_store.reading.direct_lookup import ATTEMPTS, DirectLookup, Source
from online_store.reading.direct_query import Plan, arrays_query
from online_store.reading.prepared_queries import PreparedQueries

__all__ = ["ArrayReader", "ReadColumn"]

MANY = 100
"""Keys from which on a second connection is worth its while."""


class ArrayReader:
    """Reads the same features of the tables of a project again and again; one lookup at a time.

    Many keys are asked for in two halves at the same time, each on a connection of its own: it is the server that takes
    long.
    """

    def __init__(self, source: Source, wanted: Sequence[tuple[str, str]], *, nan_is_null: bool = False) -> None:
        """`wanted` names view and feature, in the order of what `read` gives."""
        self._lookups = [DirectLookup(source, wanted, _Form, nan_is_null=nan_is_null) for _ in range(2)]

    async def read(self, keys: Mapping[str, Sequence[Any]]) -> list[ReadColumn]:
        """`keys` holds for each join key the value of each of n entities; gives each feature, of n values.

        Raises psycopg.Error, NoLayout and NotOffered as `DirectLookup.ask` does.
        """
        order = in_order(next(iter(keys.values())))
        parts = np.array_split(order, len(self._lookups)) if len(order) >= MANY else [order]
        for _ in range(ATTEMPTS):
            columns = Columns(len(order))
            lookups = zip(self._lookups, parts, strict=False)
            asking = [_ask(lookup, keys, part, columns=columns) for lookup, part in lookups]
            await (asking[0] if len(asking) == 1 else _all(asking))
            if columns.agree:
                return columns.finished()
        raise LayoutMoved("The tables change faster than they can be read.")

    async def close(self) -> None:
        """Closes the connections."""
        for lookup in self._lookups:
            await lookup.close()


class _Form:
    """The query for arrays; what its one row means, `Columns` says."""

    def __init__(self, plan: Plan) -> None:
        self.query, self._plan = arrays_query(plan), plan

    def read(self, prepared: PreparedQueries, result: PGresult, count: int) -> tuple[Answer, bool]:  # noqa: ARG002
        if int.from_bytes(result.get_value(0, 0) or b"") != len(self._plan.parts):
            raise LayoutMoved("The tables have changed: read their layouts again.")
        return Answer(self._plan, result, prepared.loader), True


async def _ask(
    lookup: DirectLookup[Answer], keys: Mapping[str, Sequence[Any]], part: Places, *, columns: Columns
) -> None:
    places = part.tolist()
    answer = await lookup.ask({name: [each[place] for place in places] for name, each in keys.items()})
    columns.take(answer, part)


async def _all(asking: Sequence[Coroutine[Any, Any, None]]) -> None:
    """At the same time; each has ended when this ends."""
    for told in await asyncio.gather(*asking, return_exceptions=True):
        if isinstance(told, BaseException):
            raise told
