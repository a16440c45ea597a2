"""Feast's reads: entity keys and features of several views in, timestamps and Values out, in one round trip.

A table that has changed since its layout was read, and a lost connection, cost another attempt that the caller does not
see.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from psycopg import AsyncConnection, Connection

from online_store.errors import LayoutChanged
from online_store.pool import Address, attempts
from online_store.pools import Pools
from online_store.reading.keys import find_key
from online_store.reading.lookup import MAX_COLUMNS, FoundFeatures, JointLookup, Key, Lookup, key_signature
from online_store.schema.layout import Layout, read_layout, read_layout_async
from online_store.schema.layout_cache import LayoutCache, ViewKey
from online_store.schema.values import Maker, value_maker

MAX_PLANS = 1000

FeatureRow = tuple[datetime | None, dict[str, Value] | None]
"""One entity in one view, as Feast has it."""


@dataclass(frozen=True)
class ViewRequest:
    """Entities and features of one view; without `requested`, all its features."""

    view: ViewKey
    entities: Sequence[EntityKey]
    requested: Sequence[str] | None


@dataclass(frozen=True)
class ViewPlan:
    """A lookup with, for each of its features, the name and the function that makes a Value of its column."""

    lookup: Lookup
    makers: Sequence[tuple[str, Maker]]

    @classmethod
    def of(cls, layout: Layout, requested: Sequence[str] | None) -> "ViewPlan":
        lookup = Lookup.of(layout, requested)
        return cls(lookup, [(each.name, value_maker(each)) for each in lookup.features])

    def feature_row(self, found: FoundFeatures) -> FeatureRow:
        """Absent features are left out, and nulls are empty Values."""
        if found.present is None:
            return found.moment, {
                name: make(value) for (name, make), value in zip(self.makers, found.values, strict=True)
            } or None
        values = {
            name: make(value)
            for (name, make), value, present in zip(self.makers, found.values, found.present, strict=True)
            if present
        }
        return (found.moment, values) if values else (None, None)


@dataclass(frozen=True)
class JointRequest:
    """Requests for the same entities to views with the same join keys: one query.

    `numbers` are those of the requests; `keys` are those of the entities (None: no row can have it).
    """

    numbers: Sequence[int]
    plans: Sequence[ViewPlan]
    joint: JointLookup
    keys: Sequence[Key | None]
    distinct: Sequence[Key]

    @property
    def statement(self) -> tuple[bytes, Any]:
        """Query and parameters."""
        return self.joint.query, self.joint.parameters(self.distinct)

    def decode(self, rows: Sequence[Sequence[Any]]) -> list[list[FeatureRow]]:
        """For each request a list in the order of the entities. Raises LayoutChanged."""
        found: list[dict[Key | None, FeatureRow]] = [{} for _ in self.plans]
        for row in rows:
            key, views = self.joint.decode(row)
            for plan, by_key, features in zip(self.plans, found, views, strict=True):
                if features is not None:
                    by_key[key] = plan.feature_row(features)
        return [[by_key.get(key, (None, None)) for key in self.keys] for by_key in found]


class Reader:
    """Thread-safe, as its pools and its layouts are."""

    def __init__(self, pools: Pools, layouts: LayoutCache) -> None:
        self._pools, self._layouts = pools, layouts
        self._plans: dict[tuple[ViewKey, tuple[str, ...] | None], ViewPlan] = {}
        self._joints: dict[tuple[int, ...], JointLookup] = {}

    def read(self, address: Address, requests: Sequence[ViewRequest]) -> list[list[FeatureRow]]:
        """One list for each request. Raises NoLayout, and psycopg.Error where the server is down."""
        pool = self._pools.for_threads(address)
        for attempt in attempts(pool, lambda: self._forget(requests)):
            with attempt, pool.connection() as connection:
                return self._read_once(connection, requests)
        raise AssertionError("the last attempt raises")

    async def read_async(self, address: Address, requests: Sequence[ViewRequest]) -> list[list[FeatureRow]]:
        """The same for an event loop."""
        pool = self._pools.for_loop(address)
        for attempt in attempts(pool, lambda: self._forget(requests)):
            with attempt:
                async with pool.connection() as connection:
                    return await self._read_once_async(connection, requests)
        raise AssertionError("the last attempt raises")

    def _read_once(self, connection: Connection[Any], requests: Sequence[ViewRequest]) -> list[list[FeatureRow]]:
        joint = self._join([self._layouts.get(connection, each.view) for each in requests], requests)
        for layout in _unconfirmed(joint):
            _confirm(layout, read_layout(connection, layout.project, layout.view, schema=layout.schema))
        if len(joint) == 1:
            rows = [connection.execute(*joint[0].statement, prepare=True, binary=True).fetchall()]
        else:
            with connection.pipeline():
                cursors = [connection.execute(*each.statement, prepare=True, binary=True) for each in joint]
                rows = [cursor.fetchall() for cursor in cursors]
        return _in_order(joint, rows)

    async def _read_once_async(
        self, connection: AsyncConnection[Any], requests: Sequence[ViewRequest]
    ) -> list[list[FeatureRow]]:
        joint = self._join([await self._layouts.get_async(connection, each.view) for each in requests], requests)
        for layout in _unconfirmed(joint):
            _confirm(layout, await read_layout_async(connection, layout.project, layout.view, schema=layout.schema))
        if len(joint) == 1:
            rows = [await (await connection.execute(*joint[0].statement, prepare=True, binary=True)).fetchall()]
        else:
            async with connection.pipeline():
                cursors = [await connection.execute(*each.statement, prepare=True, binary=True) for each in joint]
                rows = [await cursor.fetchall() for cursor in cursors]
        return _in_order(joint, rows)

    def _join(self, layouts: Sequence[Layout], requests: Sequence[ViewRequest]) -> list[JointRequest]:
        """Mostly one: views with the same join keys are asked for the same entities."""
        alike: dict[Any, list[int]] = {}
        for number, (layout, request) in enumerate(zip(layouts, requests, strict=True)):
            alike.setdefault((id(request.entities), key_signature(layout)), []).append(number)
        joint = []
        for numbers in alike.values():
            keys = [find_key(layouts[numbers[0]], each) for each in requests[numbers[0]].entities]
            distinct = list(dict.fromkeys(key for key in keys if key is not None))
            plans = [self._plan(layouts[number], requests[number]) for number in numbers]
            for some in _split_by_width(plans):
                chosen = [plans[each] for each in some]
                part = JointRequest([numbers[each] for each in some], chosen, self._joint(chosen), keys, distinct)
                joint.append(part)
        return joint

    def _joint(self, plans: Sequence[ViewPlan]) -> JointLookup:
        key = tuple(id(plan) for plan in plans)
        joint = self._joints.get(key)
        if joint is None or any(one is not plan.lookup for one, plan in zip(joint.lookups, plans, strict=True)):
            if len(self._joints) >= MAX_PLANS:
                self._joints.clear()
            joint = self._joints[key] = JointLookup.of([plan.lookup for plan in plans])
        return joint

    def _plan(self, layout: Layout, request: ViewRequest) -> ViewPlan:
        key = (request.view, None if request.requested is None else tuple(request.requested))
        plan = self._plans.get(key)
        if plan is None or plan.lookup.layout is not layout:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            plan = self._plans[key] = ViewPlan.of(layout, request.requested)
        return plan

    def _forget(self, requests: Sequence[ViewRequest]) -> None:
        for each in requests:
            self._layouts.forget(each.view)


def _unconfirmed(joint: Sequence[JointRequest]) -> list[Layout]:
    """Layouts by which no row can have some key: it is not looked up, so no result confirms the layout."""
    return [plan.lookup.layout for each in joint if None in each.keys for plan in each.plans]


def _confirm(layout: Layout, current: Layout) -> None:
    if layout != current:
        raise LayoutChanged(f"The table of view {layout.view} has changed.")


def _split_by_width(plans: Sequence[ViewPlan]) -> list[list[int]]:
    """The numbers of the plans, in groups that each fit into one result."""
    groups: list[list[int]] = [[]]
    width = 0
    for number, plan in enumerate(plans):
        width += plan.lookup.width
        if width > MAX_COLUMNS and groups[-1]:
            groups.append([])
            width = plan.lookup.width
        groups[-1].append(number)
    return groups


def _in_order(joint: Sequence[JointRequest], rows: Sequence[Sequence[Any]]) -> list[list[FeatureRow]]:
    by_number = {
        number: feature_rows
        for each, found in zip(joint, rows, strict=True)
        for number, feature_rows in zip(each.numbers, each.decode(found), strict=True)
    }
    return [by_number[number] for number in range(len(by_number))]
