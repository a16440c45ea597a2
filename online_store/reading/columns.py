"""The one row of an `arrays_query`, in PostgreSQL's binary form -> columns of NumPy's arrays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.abc import Transformer
from psycopg.pq import Format
from psycopg.pq.abc import PGresult

from online_store.reading.direct_query import Plan, ViewPart
from online_store.reading.moments import MOMENT, as_datetime64, own_moments
from online_store.schema.layout import Column

DTYPES = {"bool": "?", "float4": ">f4", "float8": ">f8", "int4": ">i4", "int8": ">i8"}
"""NumPy's type of an array's element as PostgreSQL sends it; any other comes as Python's objects."""
HEADER = 20
"""Bytes before the elements of an array of one dimension."""

_NATIVE = {dtype: np.dtype(dtype).newbyteorder("=") for dtype in DTYPES.values()}
_ELEMENTS = {dtype: np.dtype([("size", ">i4"), ("value", dtype)]) for dtype in DTYPES.values()}

Field = tuple[int, bytes | None]
"""The number of a column's type, and what stands in it."""
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class ReadColumn:
    """One feature of n entities, each array of shape (n,).

    `values`: bool, int32, int64, float32, float64, or objects (str, bytes). `nulls`: there is no value, and what stands
    in `values` means nothing. `moments`: in UTC; NaT where the view has no row of the entity, or the row lacks the
    feature. Features of one view share their moments, but where a row of it is exceptional.
    """

    values: NDArray[Any]
    nulls: NDArray[np.bool_]
    moments: NDArray[np.datetime64]


@dataclass(frozen=True)
class Answer:
    """What the server said to a query of that plan; `loader` makes Python's values of what is no number."""

    plan: Plan
    result: PGresult
    loader: Transformer


def in_order(keys: Sequence[Any]) -> Places:
    """The keys' places in the keys' order, in which the server finds them faster: neighbours lie beside each other.

    Where there is none (keys of several kinds, of which some are nobody's), as they come.
    """
    try:
        return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.intp)
    except TypeError:
        return np.arange(len(keys))


class Columns:
    """Columns of so many entities, filled from answers about some of them each.

    `agree`: all answers are of the same layouts; else the columns are of no use.
    """

    def __init__(self, count: int) -> None:
        self._count, self._plan, self.agree = count, Plan((), 0, nan_is_null=False), True
        self._columns: list[ReadColumn] = []
        self._moments: list[NDArray[np.datetime64]] = []
        self._exceptions: list[tuple[ViewPart, int, Any]] = []

    def take(self, answer: Answer, entities: Places) -> None:
        """`entities` are the places in the columns of the keys that were asked for."""
        if not self._columns:
            self._begin(answer.plan)
        self.agree = self.agree and answer.plan.versions == self._plan.versions
        if self.agree:
            row = _Row(answer, entities)
            for part, moments in zip(self._plan.parts, self._moments, strict=True):
                self._take_view(row, part, moments)

    def finished(self) -> list[ReadColumn]:
        """Each feature, in the order of the plan."""
        own: dict[int, NDArray[np.datetime64]] = {}
        for part, entity, exception in self._exceptions:
            for place, moment in own_moments(part, exception):
                told = "NaT" if moment is None else moment.replace(tzinfo=None)
                own.setdefault(place, self._columns[place].moments.copy())[entity] = np.datetime64(told, "us")
        for place, moments in own.items():
            self._columns[place] = replace(self._columns[place], moments=moments)
            self._columns[place].nulls[np.isnat(moments)] = True
        return self._columns

    def _begin(self, plan: Plan) -> None:
        self._plan = plan
        self._columns = [self._nowhere("O", self._no_moments())] * plan.width
        self._moments = [self._no_moments() for _ in plan.parts]
        for part, moments in zip(plan.parts, self._moments, strict=True):
            for place, column in part.features:
                self._columns[place] = self._nowhere(_dtype(column), moments)

    def _take_view(self, row: "_Row", part: ViewPart, moments: NDArray[np.datetime64]) -> None:
        places = row.places()
        moments[places] = as_datetime64(row.numbers(">i8"))
        for entity, exception in zip(row.places(), row.objects(), strict=True):
            self._exceptions.append((part, entity, exception))
        for place, column in part.features:
            values, nulls = row.values(column), self._columns[place].nulls
            self._columns[place].values[places] = values
            nulls[places] = np.isnan(values) if self._plan.nan_is_null and column.is_float else False
            if (without := row.places()).size:
                nulls[without] = True

    def _nowhere(self, dtype: Any, moments: NDArray[np.datetime64]) -> ReadColumn:
        """A column of nulls; their moments are these."""
        return ReadColumn(np.zeros(self._count, dtype), np.ones(self._count, dtype=bool), moments)

    def _no_moments(self) -> NDArray[np.datetime64]:
        return np.full(self._count, "NaT", MOMENT)


class _Row:
    """An answer's one row, taken from the left; the first field has been looked at."""

    def __init__(self, answer: Answer, entities: Places) -> None:
        self._loader, self._entities = answer.loader, entities
        self._fields = _fields(answer.result)
        next(self._fields)

    def places(self) -> Places:
        numbers = self.numbers(">i4")
        return self._entities[numbers - 1] if numbers.size else self._entities[:0]

    def values(self, column: Column) -> Any:
        return self.numbers(DTYPES[column.pg_type]) if column.pg_type in DTYPES else self.objects()

    def numbers(self, dtype: str) -> NDArray[Any]:
        """Of an array without nulls: after a header of 20 bytes each element, after four bytes for its size."""
        _, data = next(self._fields)
        if data is None:
            return np.zeros(0, _NATIVE[dtype])
        return np.frombuffer(data, _ELEMENTS[dtype], offset=HEADER)["value"].astype(_NATIVE[dtype])

    def objects(self) -> list[Any]:
        oid, data = next(self._fields)
        return [] if data is None else self._loader.get_loader(oid, Format.BINARY).load(data)


def _fields(result: PGresult) -> Iterator[Field]:
    return ((result.ftype(number), result.get_value(0, number)) for number in range(result.nfields))


def _dtype(column: Column) -> Any:
    return _NATIVE[DTYPES[column.pg_type]] if column.pg_type in DTYPES else np.dtype("O")
