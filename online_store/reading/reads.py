"""Feast's reads: entity keys and features of several views in, timestamps and Values out, in one round trip
for views with the same join keys.

A table that has changed since its layout was read, and a lost connection, cost another attempt that the caller does not
see.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from psycopg import Connection

from online_store.encoding.parameters import key_array
from online_store.errors import LayoutChanged
from online_store.pool import Address, Pools, attempts
from online_store.reading.direct_query import MAX_RESULT_COLUMNS, LookupPlan, ViewPart, checked_rows_query
from online_store.reading.keys import find_key
from online_store.reading.moments import own_moments
from online_store.schema.layout import Column, Layout, LayoutCache, ViewKey
from online_store.schema.values import Maker, value_maker

MAX_QUERIES = 1000

FeatureRow = tuple[datetime | None, dict[str, Value] | None]
"""One entity in one view, as Feast has it."""
ABSENT: FeatureRow = (None, None)


@dataclass(frozen=True)
class ViewRequest:
    """Entities and features of one view; without `requested`, all its features."""

    view: ViewKey
    entities: Sequence[EntityKey]
    requested: Sequence[str] | None

    def columns(self, layout: Layout) -> tuple[Column, ...]:
        """The requested features that the table has."""
        return tuple(each for each in layout.features if self.requested is None or each.name in self.requested)


@dataclass(frozen=True)
class JointQuery:
    """One query for views with the same join keys; `features` has position, name and maker of a Value by view."""

    plan: LookupPlan
    text: bytes
    features: Sequence[Sequence[tuple[int, str, Maker]]]

    @classmethod
    def of(cls, layouts: Sequence[Layout], requests: Sequence[ViewRequest]) -> "JointQuery":
        parts, width = [], 0
        for layout, request in zip(layouts, requests, strict=True):
            parts.append(ViewPart(layout, tuple(enumerate(request.columns(layout), width))))
            width += len(parts[-1].features)
        plan = LookupPlan(tuple(parts), width, nan_is_null=False)
        features = [[(position, each.name, value_maker(each)) for position, each in part.features] for part in parts]
        return cls(plan, checked_rows_query(plan).encode(), features)

    def read(self, connection: Connection[Any], entities: Sequence[EntityKey]) -> list[list[FeatureRow]]:
        """For each view a list in the order of the entities. Raises LayoutChanged."""
        keys = self.plan.parts[0].layout.keys
        found = [find_key(self.plan.parts[0].layout, each) or (None,) * len(keys) for each in entities]
        arrays = [key_array(key.pg_type, [each[n] for each in found]) for n, key in enumerate(keys)]
        rows: dict[int, list[FeatureRow]] = {
            record[-2]: self._decode(record)
            for record in connection.execute(self.text, arrays, prepare=True, binary=True)
        }
        return [list(of_view) for of_view in zip(*(rows[place] for place in range(1, len(rows) + 1)), strict=True)]

    def _decode(self, record: Sequence[Any]) -> list[FeatureRow]:
        views, width = len(self.plan.parts), self.plan.width
        if record[-1] != views:
            raise LayoutChanged("The tables have changed: read their layouts again.")
        stamps, exceptions = record[width : width + views], record[width + views : -2]
        return [self._row(view, record, stamps[view], exceptions[view]) for view in range(views)]

    def _row(self, view: int, values: Sequence[Any], stamp: datetime | None, exception: Any) -> FeatureRow:
        """Absent features are left out, and nulls are empty Values."""
        if stamp is None:
            return ABSENT
        if exception is None:
            return stamp, {name: make(values[position]) for position, name, make in self.features[view]} or None
        own = dict(own_moments(self.plan.parts[view], exception))
        present = [each for each in self.features[view] if own.get(each[0], stamp) is not None]
        # The oldest of several timestamps: the whole must not look newer than any part of it.
        moment = min((own.get(position) or stamp for position, *_ in present), default=None)
        return moment, {name: make(values[position]) for position, name, make in present} or None


class Reader:
    """Thread-safe, as its pools and its layouts are."""

    def __init__(self, pools: Pools, layouts: LayoutCache) -> None:
        self._pools, self._layouts = pools, layouts
        self._queries: dict[Any, JointQuery] = {}

    def read(self, address: Address, requests: Sequence[ViewRequest]) -> list[list[FeatureRow]]:
        """One list for each request. Raises NoLayout, and psycopg.Error where the server is down."""
        pool = self._pools.get(address)
        for attempt in attempts(pool, lambda: self._forget(requests)):
            with attempt, pool.connection() as connection:
                layouts = [self._layouts.get(connection, each.view) for each in requests]
                return self._read_once(connection, layouts, requests)
        raise AssertionError("the last attempt raises")

    def _read_once(
        self, connection: Connection[Any], layouts: Sequence[Layout], requests: Sequence[ViewRequest]
    ) -> list[list[FeatureRow]]:
        found: dict[int, list[FeatureRow]] = {}
        for numbers in _joint(layouts, requests):
            query = self._query([layouts[n] for n in numbers], [requests[n] for n in numbers])
            entities = requests[numbers[0]].entities
            found |= zip(numbers, query.read(connection, entities) if entities else [[]] * len(numbers), strict=True)
        return [found[number] for number in range(len(requests))]

    def _query(self, layouts: Sequence[Layout], requests: Sequence[ViewRequest]) -> JointQuery:
        key = tuple((each.view, each.requested and tuple(each.requested)) for each in requests)
        query = self._queries.get(key)
        if query is None or any(part.layout is not each for part, each in zip(query.plan.parts, layouts, strict=True)):
            if len(self._queries) >= MAX_QUERIES:
                self._queries.clear()
            query = self._queries[key] = JointQuery.of(layouts, requests)
        return query

    def _forget(self, requests: Sequence[ViewRequest]) -> None:
        for each in requests:
            self._layouts.forget(each.view)


def _joint(layouts: Sequence[Layout], requests: Sequence[ViewRequest]) -> Iterator[list[int]]:
    """The numbers of the requests, by query: mostly one, for all views with the same join keys.

    A view that is requested twice, as by its name and by its version, is in two queries.
    """
    alike: dict[Any, list[int]] = {}
    times: Counter[ViewKey] = Counter()
    for number, (layout, request) in enumerate(zip(layouts, requests, strict=True)):
        keys = tuple((key.name, key.feast_type) for key in layout.keys)
        alike.setdefault((id(request.entities), keys, times[request.view]), []).append(number)
        times[request.view] += 1
    for numbers in alike.values():
        width = sum(len(layouts[n].features) + 2 for n in numbers) + 2
        yield from [numbers] if width <= MAX_RESULT_COLUMNS else ([number] for number in numbers)
