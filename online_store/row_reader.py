"""A few entities' features as Python's values, of several views in one round trip: what one request needs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from psycopg.pq.abc import PGresult

from online_store.reading.direct_lookup import DirectLookup, Source
from online_store.reading.direct_query import Plan, rows_query
from online_store.reading.moments import as_datetime, own_moments
from online_store.reading.prepared_queries import PreparedQueries

Row = tuple[Sequence[Any], Sequence[datetime | None]]
"""One entity: of each feature its value (None: a null) and its moment in UTC (None: absent)."""


class RowReader:
    """Reads the same features of the tables of a project again and again; one lookup at a time."""

    def __init__(self, source: Source, wanted: Sequence[tuple[str, str]], *, nan_is_null: bool = False) -> None:
        """`wanted` names view and feature, in the order of what `read` gives."""
        self._lookup = DirectLookup(source, wanted, _Rows, nan_is_null=nan_is_null)

    async def read(self, keys: Mapping[str, Sequence[Any]]) -> list[Row]:
        """`keys` holds for each join key the value of each of n entities; gives n rows, in their order.

        Raises psycopg.Error, NoLayout and NotOffered as `DirectLookup.ask` does.
        """
        return await self._lookup.ask(keys)

    async def close(self) -> None:
        """Closes the connection."""
        await self._lookup.close()


class _Rows:
    """The query for rows, and what its rows mean."""

    def __init__(self, plan: Plan) -> None:
        self.query = rows_query(plan)
        self._plan = plan
        self._ordinary = (None,) * len(plan.parts)
        views: list[int | None] = [None] * plan.width
        for number, part in enumerate(plan.parts):
            for place, _ in part.features:
                views[place] = number
        self._views = views
        self._shared = lru_cache(maxsize=1024)(self._each_features)

    def read(self, prepared: PreparedQueries, result: PGresult, count: int) -> tuple[list[Row], bool]:
        width, views, whole = self._plan.width, len(self._plan.parts), True
        rows: list[Row] = [((), ())] * count
        for row in prepared.rows(result):
            values, stamps, exceptions = row[:width], row[width : width + views], row[width + views : -1]
            told: Row = (values, self._shared(stamps))
            if exceptions != self._ordinary:
                told, whole = self._exceptional(*told, exceptions), False
            elif None in values and stamps != self._ordinary:  # of nobody no layout tells more
                whole = False
            rows[row[-1] - 1] = told
        return rows, whole and self._plan.complete

    def _each_features(self, moments: Sequence[int | None]) -> Sequence[datetime | None]:
        """Each view's moment, or None -> each feature's. Many entities share theirs, and what is made for them here."""
        told = [None if moment is None else as_datetime(moment) for moment in moments]
        return tuple(None if view is None else told[view] for view in self._views)

    def _exceptional(self, values: Sequence[Any], moments: Sequence[datetime | None], exceptions: Sequence[Any]) -> Row:
        told, own = list(values), list(moments)
        for part, exception in zip(self._plan.parts, exceptions, strict=True):
            for place, moment in own_moments(part, exception) if exception else ():
                own[place] = moment
                if moment is None:
                    told[place] = None
        return told, own
