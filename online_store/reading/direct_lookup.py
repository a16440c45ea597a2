"""A lookup of several views: keys in, what the tables hold out, over a connection and layouts that are kept.

The layouts are read when a connection begins, and may grow old. A row that has all its values, and was not written by a
later layout, is right: a column that is gone, or has another type, is an error of PostgreSQL, and one that came anew
holds nothing in rows of before. So only where something is missing or exceptional, or the tables never had all that is
asked for, is the catalogue asked whether the layouts still hold; where they do not, all is read again. A form may bring
the catalogue's answer with it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from psycopg.pq.abc import PGresult
from psycopg.types.numeric import Int8BinaryLoader

from online_store.errors import LayoutMoved, WideStoreError
from online_store.reading.direct_query import Plan, check_query, make_plan
from online_store.reading.key_arrays import array_oid, key_array
from online_store.reading.lookup import MOVED
from online_store.reading.prepared_queries import PreparedQueries
from online_store.schema.layout import read_layout_async

LOOKUP, CHECK = b"wide_lookup", b"wide_check"
ATTEMPTS = 20
"""A `feast apply` changes one table after another, and a lookup may meet many of its steps; an attempt takes
milliseconds, and whoever waits has a deadline of its own."""

Told = TypeVar("Told")
Told_co = TypeVar("Told_co", covariant=True)


@dataclass(frozen=True)
class Source:
    """Where the tables of a Feast project are; the address, which has the password, is not shown."""

    conninfo: str = field(repr=False)
    schema: str
    project: str


class Form(Protocol[Told_co]):
    """A query of a plan, and what its answers mean."""

    query: str

    def read(self, prepared: PreparedQueries, result: PGresult, count: int) -> tuple[Told_co, bool]:
        """What the answer tells of `count` keys, and whether it is right whatever has become of the tables."""


@dataclass(frozen=True)
class _Opened(Generic[Told]):
    prepared: PreparedQueries
    plan: Plan
    form: Form[Told]

    async def holds(self) -> bool:
        """Whether all tables still are as the plan has them."""
        told = await self.prepared.ask(CHECK)
        return int.from_bytes(told.get_value(0, 0) or b"") == len(self.plan.parts)


class DirectLookup(Generic[Told]):
    """One query, asked again and again; one lookup at a time. Connects when it is first asked."""

    def __init__(
        self,
        source: Source,
        wanted: Sequence[tuple[str, str]],
        form: Callable[[Plan], Form[Told]],
        *,
        nan_is_null: bool,
    ) -> None:
        """`wanted` names view and feature; a feature that the tables do not have (yet) is absent."""
        self._source, self._wanted, self._form = source, tuple(wanted), form
        self._nan_is_null = nan_is_null
        self._open: _Opened[Told] | None = None
        self._closed = False

    async def ask(self, keys: Mapping[str, Sequence[Any]]) -> Told:
        """`keys` holds for each join key the value of each of n entities.

        Raises psycopg.OperationalError where the connection was lost: the next call is made on a fresh one. Raises
        NoLayout where a view has no table, NotOffered where Feast's interface has to be taken, WideStoreError where
        the tables have join keys of which nothing is given.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._ask_once(keys)
            except (LayoutMoved, *MOVED):
                continue
        return await self._ask_once(keys)

    async def close(self) -> None:
        """Closes the connection, and that of a lookup which is under way when that has ended."""
        self._closed = True
        if self._open:
            self._open.prepared.close()

    async def _ask_once(self, keys: Mapping[str, Sequence[Any]]) -> Told:
        opened, self._open = self._open or await self._connect(), None
        prepared, plan = opened.prepared, opened.plan
        with prepared.closed_on_failure():
            _require(keys, plan)
            given = [key_array(pg_type, keys[name]) for name, pg_type in plan.keys]
            result = await prepared.ask(LOOKUP, *given)
            told, sure = opened.form.read(prepared, result, len(next(iter(keys.values()))))
            if not sure and not await opened.holds():
                raise LayoutMoved(f"The tables of {self._source.project} have changed: read their layouts again.")
        if self._closed:
            prepared.close()
        else:
            self._open = opened
        return told

    async def _connect(self) -> _Opened[Told]:
        prepared = await PreparedQueries.connect(self._source.conninfo)
        with prepared.closed_on_failure():
            plan = await self._plan(prepared)
            prepared.connection.adapters.register_loader("timestamptz", Int8BinaryLoader)
            form = self._form(plan)
            await prepared.prepare(LOOKUP, form.query, [array_oid(pg_type) for _, pg_type in plan.keys])
            await prepared.prepare(CHECK, check_query(plan))
        return _Opened(prepared, plan, form)

    async def _plan(self, prepared: PreparedQueries) -> Plan:
        views, project, schema = (
            dict.fromkeys(view for view, _ in self._wanted),
            self._source.project,
            self._source.schema,
        )
        layouts = [await read_layout_async(prepared.connection, project, view, schema=schema) for view in views]
        return make_plan(layouts, self._wanted, nan_is_null=self._nan_is_null)


def _require(keys: Mapping[str, Sequence[Any]], plan: Plan) -> None:
    if missing := sorted({name for name, _ in plan.keys} - keys.keys()):
        raise WideStoreError(f"The tables are keyed by {missing} as well, of which nothing is given: ask with them.")
