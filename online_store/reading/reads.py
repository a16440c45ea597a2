"""What Feast reads: entity keys of several views in, moments and Values out, in one round trip.

A table that has changed since its layout was read costs another reading of the layout, and a connection that is lost
another attempt on a new one; the caller sees neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from psycopg import AsyncConnection, Connection, OperationalError

from online_store.errors import LayoutMoved
from online_store.pool import Address, is_lost
from online_store.pools import Pools
from online_store.reading.keys import find_key
from online_store.reading.lookup import MOST_COLUMNS, MOVED, FoundFeatures, JointLookup, Key, Lookup, keyed_alike
from online_store.schema.layout import Layout, read_layout, read_layout_async
from online_store.schema.layouts import KnownLayouts, View
from online_store.schema.values import Maker, value_maker

ATTEMPTS = 5
MOST_PLANS = 1000

Answer = tuple[datetime | None, dict[str, Value] | None]
T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """What is asked of one view; without `requested`, all its features."""

    view: View
    entities: Sequence[EntityKey]
    requested: Sequence[str] | None


@dataclass(frozen=True)
class Plan:
    """A lookup, and for each of its features the name and what makes a Value of its column."""

    lookup: Lookup
    makers: Sequence[tuple[str, Maker]]

    @classmethod
    def of(cls, layout: Layout, requested: Sequence[str] | None) -> "Plan":
        lookup = Lookup.of(layout, requested)
        return cls(lookup, [(each.name, value_maker(each)) for each in lookup.features])

    def values(self, found: FoundFeatures) -> Answer:
        """As Feast has it: absent features are left out, and nulls are empty Values."""
        if found.present is None:
            return found.moment, {
                name: make(held) for (name, make), held in zip(self.makers, found.values, strict=True)
            } or None
        values = {
            name: make(held)
            for (name, make), held, there in zip(self.makers, found.values, found.present, strict=True)
            if there
        }
        return (found.moment, values) if values else (None, None)


@dataclass(frozen=True)
class Asked:
    """Questions of the same entities to views that are keyed alike: one query.

    `places` are the questions' numbers in the request, `keys` each entity's (None: it cannot be there).
    """

    places: Sequence[int]
    plans: Sequence[Plan]
    joint: JointLookup
    keys: Sequence[Key | None]
    distinct: Sequence[Key]

    def answers(self, rows: Sequence[Sequence[Any]]) -> list[list[Answer]]:
        """For each question a list in the order of the entities. Raises LayoutMoved."""
        found: list[dict[Key | None, Answer]] = [{} for _ in self.plans]
        for row in rows:
            key, views = self.joint.read(row)
            for plan, told, features in zip(self.plans, found, views, strict=True):
                if features is not None:
                    told[key] = plan.values(features)
        return [[told.get(key, (None, None)) for key in self.keys] for told in found]


class Reader:
    """Reads by the pools and the layouts that it is given."""

    def __init__(self, pools: Pools, layouts: KnownLayouts) -> None:
        self._pools, self._layouts = pools, layouts
        self._plans: dict[tuple[View, tuple[str, ...] | None], Plan] = {}
        self._joints: dict[tuple[int, ...], JointLookup] = {}

    def read(self, address: Address, questions: Sequence[Question]) -> list[list[Answer]]:
        """One list for each question. Raises NoLayout, and psycopg.Error where the server is away."""
        pool = self._pools.for_threads(address)
        for left in reversed(range(ATTEMPTS)):
            try:
                with pool.connection() as connection:
                    return self._read_once(connection, questions)
            except (LayoutMoved, *MOVED):
                if not left:
                    raise
                self._forget(questions)
            except OperationalError as error:
                if not (left and is_lost(error)):
                    raise
                pool.drop()
        raise AssertionError("the last attempt raises")

    async def read_async(self, address: Address, questions: Sequence[Question]) -> list[list[Answer]]:
        """The same for an event loop."""
        pool = self._pools.for_loop(address)
        for left in reversed(range(ATTEMPTS)):
            try:
                async with pool.connection() as connection:
                    return await self._read_once_async(connection, questions)
            except (LayoutMoved, *MOVED):
                if not left:
                    raise
                self._forget(questions)
            except OperationalError as error:
                if not (left and is_lost(error)):
                    raise
                pool.drop()
        raise AssertionError("the last attempt raises")

    def _read_once(self, connection: Connection[Any], questions: Sequence[Question]) -> list[list[Answer]]:
        layouts = [self._layouts.get(connection, each.view) for each in questions]
        asked = self._ask(layouts, questions)
        for layout in _to_confirm(asked):
            _confirm(layout, read_layout(connection, layout.project, layout.view, schema=layout.schema))
        if len(asked) == 1:
            rows = [_execute(connection, asked[0]).fetchall()]
        else:
            with connection.pipeline():
                rows = [cursor.fetchall() for cursor in [_execute(connection, each) for each in asked]]
        return _in_order(asked, rows)

    async def _read_once_async(
        self, connection: AsyncConnection[Any], questions: Sequence[Question]
    ) -> list[list[Answer]]:
        layouts = [await self._layouts.get_async(connection, each.view) for each in questions]
        asked = self._ask(layouts, questions)
        for layout in _to_confirm(asked):
            _confirm(layout, await read_layout_async(connection, layout.project, layout.view, schema=layout.schema))
        if len(asked) == 1:
            rows = [await (await _execute_async(connection, asked[0])).fetchall()]
        else:
            async with connection.pipeline():
                cursors = [await _execute_async(connection, each) for each in asked]
                rows = [await cursor.fetchall() for cursor in cursors]
        return _in_order(asked, rows)

    def _ask(self, layouts: Sequence[Layout], questions: Sequence[Question]) -> list[Asked]:
        """Mostly one: views that are keyed alike are asked for the same entities."""
        alike: dict[Any, list[int]] = {}
        for number, (layout, question) in enumerate(zip(layouts, questions, strict=True)):
            alike.setdefault((id(question.entities), keyed_alike(layout)), []).append(number)
        asked = []
        for places in alike.values():
            keys = [find_key(layouts[places[0]], each) for each in questions[places[0]].entities]
            distinct = list(dict.fromkeys(key for key in keys if key is not None))
            plans = [self._plan(layouts[place], questions[place]) for place in places]
            for some in _narrow_enough(plans):
                chosen = [plans[each] for each in some]
                joint = self._joint(chosen)
                asked.append(Asked([places[each] for each in some], chosen, joint=joint, keys=keys, distinct=distinct))
        return asked

    def _joint(self, plans: Sequence[Plan]) -> JointLookup:
        key = tuple(id(plan) for plan in plans)
        joint = self._joints.get(key)
        if joint is None or any(one is not plan.lookup for one, plan in zip(joint.lookups, plans, strict=True)):
            if len(self._joints) >= MOST_PLANS:
                self._joints.clear()
            joint = self._joints[key] = JointLookup.of([plan.lookup for plan in plans])
        return joint

    def _plan(self, layout: Layout, question: Question) -> Plan:
        key = (question.view, None if question.requested is None else tuple(question.requested))
        plan = self._plans.get(key)
        if plan is None or plan.lookup.layout is not layout:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            plan = self._plans[key] = Plan.of(layout, question.requested)
        return plan

    def _forget(self, questions: Sequence[Question]) -> None:
        for each in questions:
            self._layouts.forget(each.view)


def _to_confirm(asked: Sequence[Asked]) -> list[Layout]:
    """Layouts by which some key cannot be there: PostgreSQL is not asked for that key, so it tells nothing of them."""
    return [plan.lookup.layout for each in asked if None in each.keys for plan in each.plans]


def _confirm(layout: Layout, now: Layout) -> None:
    if layout != now:
        raise LayoutMoved(f"The table of {layout.view} has changed.")


def _narrow_enough(plans: Sequence[Plan]) -> list[list[int]]:
    """The plans' numbers in lots of which each fits into one answer."""
    lots: list[list[int]] = [[]]
    width = 0
    for number, plan in enumerate(plans):
        width += plan.lookup.width
        if width > MOST_COLUMNS and lots[-1]:
            lots.append([])
            width = plan.lookup.width
        lots[-1].append(number)
    return lots


def _in_order(asked: Sequence[Asked], rows: Sequence[Sequence[Any]]) -> list[list[Answer]]:
    answers = {
        place: answer
        for each, found in zip(asked, rows, strict=True)
        for place, answer in zip(each.places, each.answers(found), strict=True)
    }
    return [answers[place] for place in range(len(answers))]


def _execute(connection: Connection[Any], asked: Asked) -> Any:
    parameters = asked.joint.parameters(asked.distinct)
    return connection.execute(asked.joint.query, parameters, prepare=True, binary=True)


async def _execute_async(connection: AsyncConnection[Any], asked: Asked) -> Any:
    parameters = asked.joint.parameters(asked.distinct)
    return await connection.execute(asked.joint.query, parameters, prepare=True, binary=True)
