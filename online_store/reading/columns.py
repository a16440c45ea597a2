"""Decodes the one row of an `arrays_query`, in PostgreSQL's binary format, into columns of NumPy arrays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.abc import Transformer
from psycopg.pq import Format
from psycopg.pq.abc import PGresult

from online_store.reading.direct_query import LookupPlan, ViewPart
from online_store.reading.moments import MOMENT, as_datetime64, own_moments
from online_store.schema.layout import Column

DTYPES = {"bool": "?", "float4": ">f4", "float8": ">f8", "int4": ">i4", "int8": ">i8"}
"""NumPy's types of array elements as PostgreSQL sends them; other types become Python objects."""
HEADER_BYTES = 20
"""Of a one-dimensional array."""

_NATIVE = {dtype: np.dtype(dtype).newbyteorder("=") for dtype in DTYPES.values()}
_ELEMENTS = {dtype: np.dtype([("size", ">i4"), ("value", dtype)]) for dtype in DTYPES.values()}

Positions = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class ReadColumn:
    """One feature of n entities, each array of shape (n,).

    `values`: bool, int32, int64, float32, float64, or objects (str, bytes); undefined where `nulls` is set. `moments`:
    UTC; NaT where the view has no row of the entity, or the row lacks the feature. Features of one view share them
    unless a row is exceptional.
    """

    values: NDArray[Any]
    nulls: NDArray[np.bool_]
    moments: NDArray[np.datetime64]


@dataclass(frozen=True)
class ArraysResult:
    """The result of a plan's query; `loader` decodes values that are not numbers."""

    plan: LookupPlan
    result: PGresult
    loader: Transformer


def sorted_positions(keys: Sequence[Any]) -> Positions:
    """The positions of the keys in sorted order, in which the server finds neighbouring rows faster.

    Keys of several types, some of which match nothing, stay in their order.
    """
    try:
        return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.intp)
    except TypeError:
        return np.arange(len(keys))


class Columns:
    """The columns of `count` entities, filled from one or more results; of no use unless all layouts `agree`."""

    def __init__(self, count: int) -> None:
        self._count, self._plan, self.agree = count, LookupPlan((), 0, nan_is_null=False), True
        self._columns: list[ReadColumn] = []
        self._moments: list[NDArray[np.datetime64]] = []
        self._exceptions: list[tuple[ViewPart, int, Any]] = []

    def add(self, result: ArraysResult, entities: Positions) -> None:
        """`entities` are the positions of the keys that were looked up."""
        if not self._columns:
            self._allocate(result.plan)
        self.agree = self.agree and result.plan.versions == self._plan.versions
        if self.agree:
            fields = _Fields(result, entities)
            for part, moments in zip(self._plan.parts, self._moments, strict=True):
                self._add_view(fields, part, moments)

    def result(self) -> list[ReadColumn]:
        """Each feature, in the order of the plan."""
        own: dict[int, NDArray[np.datetime64]] = {}
        for part, entity, exception in self._exceptions:
            for position, moment in own_moments(part, exception):
                value = "NaT" if moment is None else moment.replace(tzinfo=None)
                own.setdefault(position, self._columns[position].moments.copy())[entity] = np.datetime64(value, "us")
        for position, moments in own.items():
            self._columns[position] = replace(self._columns[position], moments=moments)
            self._columns[position].nulls[np.isnat(moments)] = True
        return self._columns

    def _allocate(self, plan: LookupPlan) -> None:
        self._plan = plan
        self._columns = [self._nulls("O", self._no_moments())] * plan.width
        self._moments = [self._no_moments() for _ in plan.parts]
        for part, moments in zip(plan.parts, self._moments, strict=True):
            for position, column in part.features:
                self._columns[position] = self._nulls(_NATIVE.get(DTYPES.get(column.pg_type, "O"), "O"), moments)

    def _add_view(self, fields: "_Fields", part: ViewPart, moments: NDArray[np.datetime64]) -> None:
        found = fields.positions()
        moments[found] = as_datetime64(fields.numbers(">i8"))
        for entity, exception in zip(fields.positions(), fields.objects(), strict=True):
            self._exceptions.append((part, entity, exception))
        for position, column in part.features:
            values, nulls = fields.values(column), self._columns[position].nulls
            self._columns[position].values[found] = values
            nulls[found] = np.isnan(values) if self._plan.nan_is_null and column.is_float else False
            if (null := fields.positions()).size:
                nulls[null] = True

    def _nulls(self, dtype: Any, moments: NDArray[np.datetime64]) -> ReadColumn:
        return ReadColumn(np.zeros(self._count, dtype), np.ones(self._count, dtype=bool), moments)

    def _no_moments(self) -> NDArray[np.datetime64]:
        return np.full(self._count, "NaT", MOMENT)


class _Fields:
    """The fields of the row from left to right, without the first, which is `check_query`'s."""

    def __init__(self, result: ArraysResult, entities: Positions) -> None:
        self._loader, self._entities = result.loader, entities
        self._fields = _fields(result.result)
        next(self._fields)

    def positions(self) -> Positions:
        numbers = self.numbers(">i4")
        return self._entities[numbers - 1] if numbers.size else self._entities[:0]

    def values(self, column: Column) -> Any:
        return self.numbers(DTYPES[column.pg_type]) if column.pg_type in DTYPES else self.objects()

    def numbers(self, dtype: str) -> NDArray[Any]:
        """An array without nulls: after the header, each element follows four bytes for its size."""
        _, data = next(self._fields)
        if data is None:
            return np.zeros(0, _NATIVE[dtype])
        return np.frombuffer(data, _ELEMENTS[dtype], offset=HEADER_BYTES)["value"].astype(_NATIVE[dtype])

    def objects(self) -> list[Any]:
        oid, data = next(self._fields)
        return [] if data is None else self._loader.get_loader(oid, Format.BINARY).load(data)


def _fields(result: PGresult) -> Iterator[tuple[int, bytes | None]]:
    """Type OID and content of each field."""
    return ((result.ftype(number), result.get_value(0, number)) for number in range(result.nfields))
