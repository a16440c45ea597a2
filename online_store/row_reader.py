"""Features of a few entities as Python values, from several views in one round trip, without Feast."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from psycopg.pq.abc import PGresult

from online_store.reading.direct_lookup import DirectLookup, Source
from online_store.reading.direct_query import LookupPlan, rows_query
from online_store.reading.moments import as_datetime, own_moments
from online_store.reading.prepared_queries import PreparedQueries

Row = tuple[Sequence[Any], Sequence[datetime | None]]
"""One entity: for each feature its value (None: null) and its timestamp in UTC (None: absent)."""


class _RowsQuery:
    """The query for rows, and how to decode them."""

    def __init__(self, plan: LookupPlan) -> None:
        self.query = rows_query(plan)
        self._plan = plan
        self._no_exceptions = (None,) * len(plan.parts)
        self._view_of: list[int | None] = [None] * plan.width
        for number, part in enumerate(plan.parts):
            for position, _ in part.features:
                self._view_of[position] = number
        self._cached_moments = lru_cache(maxsize=1024)(self._moments)

    def decode(self, prepared: PreparedQueries, result: PGresult, count: int) -> tuple[list[Row], bool]:
        width, views, complete = self._plan.width, len(self._plan.parts), True
        rows: list[Row] = [((), ())] * count
        for record in prepared.rows(result):
            values, stamps, exceptions = record[:width], record[width : width + views], record[width + views : -1]
            row: Row = (values, self._cached_moments(stamps))
            if exceptions != self._no_exceptions:
                row, complete = self._exceptional(*row, exceptions), False
            elif None in values and stamps != self._no_exceptions:  # an entity without rows has no values in any layout
                complete = False
            rows[record[-1] - 1] = row
        return rows, complete and self._plan.complete

    def _moments(self, stamps: Sequence[int | None]) -> Sequence[datetime | None]:
        """The timestamp of each view -> of each feature. Many entities share them, so this is cached."""
        moments = [None if stamp is None else as_datetime(stamp) for stamp in stamps]
        return tuple(None if view is None else moments[view] for view in self._view_of)

    def _exceptional(self, values: Sequence[Any], moments: Sequence[datetime | None], exceptions: Sequence[Any]) -> Row:
        values, moments = list(values), list(moments)
        for part, exception in zip(self._plan.parts, exceptions, strict=True):
            for position, moment in own_moments(part, exception) if exception else ():
                moments[position] = moment
                if moment is None:
                    values[position] = None
        return values, moments


class RowReader(DirectLookup[list[Row]]):
    """Reads the same features again and again, one lookup at a time: `read` returns a row for each entity."""

    def __init__(self, source: Source, features: Sequence[tuple[str, str]], *, nan_is_null: bool = False) -> None:
        """`features` are pairs of view and feature, in the order of a row's values."""
        super().__init__(source, features, _RowsQuery, nan_is_null=nan_is_null)
