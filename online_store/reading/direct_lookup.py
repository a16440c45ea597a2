"""A lookup in several views over a connection and layouts that are kept: keys in, the tables' values out.

The layouts are read when a connection is made, and may become outdated. A row that has all its values and was not
written by a later layout is right nevertheless: a dropped or retyped column is an error of PostgreSQL, and a new column
is null in the rows from before. So the catalogue is asked whether the layouts still hold only where a value is missing
or a row is exceptional, or the tables lack a requested feature. If they do not hold, all is read again. `arrays_query`
includes that check.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from psycopg.pq.abc import PGresult
from psycopg.types.numeric import Int8BinaryLoader

from online_store.encoding.parameters import direct_array_oid, nullable_array
from online_store.errors import LAYOUT_ERRORS, LayoutChanged, WideStoreError
from online_store.reading.direct_query import LookupPlan, check_query, make_plan
from online_store.reading.prepared_queries import PreparedQueries
from online_store.schema.layout import read_layout_async

LOOKUP, CHECK = b"wide_lookup", b"wide_check"
ATTEMPTS = 20
"""One `feast apply` changes table after table, and a lookup may meet each change; an attempt takes milliseconds, and
callers have their own deadlines."""

Found = TypeVar("Found")
Found_co = TypeVar("Found_co", covariant=True)


@dataclass(frozen=True)
class Source:
    """A Feast project's tables; `conninfo` is not shown because it has the password."""

    conninfo: str = field(repr=False)
    schema: str
    project: str


class LookupQuery(Protocol[Found_co]):
    """The query for a plan, and how to decode its result."""

    query: str

    def decode(self, prepared: PreparedQueries, result: PGresult, count: int) -> tuple[Found_co, bool]:
        """The values for `count` keys, and whether they are right even if the tables have changed."""


@dataclass(frozen=True)
class _Opened(Generic[Found]):
    prepared: PreparedQueries
    plan: LookupPlan
    query: LookupQuery[Found]

    async def is_current(self) -> bool:
        """Whether all tables still have the layouts of the plan."""
        result = await self.prepared.ask(CHECK)
        return int.from_bytes(result.get_value(0, 0) or b"") == len(self.plan.parts)


class DirectLookup(Generic[Found]):
    """One query, executed again and again, one lookup at a time. The first one connects."""

    def __init__(
        self,
        source: Source,
        features: Sequence[tuple[str, str]],
        make_query: Callable[[LookupPlan], LookupQuery[Found]],
        *,
        nan_is_null: bool,
    ) -> None:
        """`features` are pairs of view and feature; one that the tables do not have (yet) is absent."""
        self._source, self._features, self._make_query = source, tuple(features), make_query
        self._nan_is_null = nan_is_null
        self._open: _Opened[Found] | None = None
        self._closed = False

    async def read(self, keys: Mapping[str, Sequence[Any]]) -> Found:
        """The values of n entities, in their order; `keys` has n values for each join key.

        Raises psycopg.OperationalError where the connection is lost (the next call makes a new one), NoLayout where a
        view has no table, Unsupported where only Feast's interface can read a feature, and WideStoreError where a join
        key of the tables is missing.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._read_once(keys)
            except LAYOUT_ERRORS:
                continue
        return await self._read_once(keys)

    async def close(self) -> None:
        """Closes the connection; that of a lookup under way when it ends."""
        self._closed = True
        if self._open:
            self._open.prepared.close()

    async def _read_once(self, keys: Mapping[str, Sequence[Any]]) -> Found:
        opened, self._open = self._open or await self._connect(), None
        prepared = opened.prepared
        with prepared.closed_on_failure():
            if missing := sorted({name for name, _ in opened.plan.keys} - keys.keys()):
                raise WideStoreError(f"The tables are also keyed by {missing}: give values for these join keys.")
            arrays = [nullable_array(pg_type, keys[name]) for name, pg_type in opened.plan.keys]
            result = await prepared.ask(LOOKUP, *arrays)
            found, is_sure = opened.query.decode(prepared, result, len(next(iter(keys.values()))))
            if not is_sure and not await opened.is_current():
                raise LayoutChanged(f"The tables of {self._source.project} have changed: read their layouts again.")
        if self._closed:
            prepared.close()
        else:
            self._open = opened
        return found

    async def _connect(self) -> _Opened[Found]:
        prepared = await PreparedQueries.connect(self._source.conninfo)
        with prepared.closed_on_failure():
            plan = await self._plan(prepared)
            prepared.connection.adapters.register_loader("timestamptz", Int8BinaryLoader)
            query = self._make_query(plan)
            await prepared.prepare(LOOKUP, query.query, [direct_array_oid(pg_type) for _, pg_type in plan.keys])
            await prepared.prepare(CHECK, check_query(plan))
        return _Opened(prepared, plan, query)

    async def _plan(self, prepared: PreparedQueries) -> LookupPlan:
        source, views = self._source, dict.fromkeys(view for view, _ in self._features)
        layouts = [
            await read_layout_async(prepared.connection, source.project, view, schema=source.schema) for view in views
        ]
        return make_plan(layouts, self._features, nan_is_null=self._nan_is_null)
