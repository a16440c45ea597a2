"""Many entities' features as NumPy's arrays, of several views in one round trip: no protobuf, no object of a number."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.abc import Transformer
from psycopg.pq import Format
from psycopg.pq.abc import PGresult

from online_store.reading.direct_lookup import DirectLookup, Source
from online_store.reading.direct_query import Plan, ViewPart, arrays_query
from online_store.reading.moments import MOMENT, as_datetime64, own_moments
from online_store.reading.prepared_queries import PreparedQueries
from online_store.schema.layout import Column

DTYPES = {"bool": "?", "float4": ">f4", "float8": ">f8", "int4": ">i4", "int8": ">i8"}
"""NumPy's type of an array's element as PostgreSQL sends it; any other comes as Python's objects."""
HEADER = 20
"""Bytes before the elements of an array of one dimension."""

Field = tuple[int, bytes | None]
"""The number of a column's type, and what stands in it."""


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


class ArrayReader:
    """Reads the same features of the tables of a project again and again; one lookup at a time."""

    def __init__(self, source: Source, wanted: Sequence[tuple[str, str]], *, nan_is_null: bool = False) -> None:
        """`wanted` names view and feature, in the order of what `read` gives."""
        self._lookup = DirectLookup(source, wanted, _Form, nan_is_null=nan_is_null)

    async def read(self, keys: Mapping[str, Sequence[Any]]) -> list[ReadColumn]:
        """`keys` holds for each join key the value of each of n entities; gives each feature, of n values.

        Raises psycopg.Error, NoLayout and NotOffered as `DirectLookup.ask` does.
        """
        return await self._lookup.ask(keys)

    async def close(self) -> None:
        """Closes the connection."""
        await self._lookup.close()


class _Form:
    """The query for arrays, and what its one row means."""

    def __init__(self, plan: Plan) -> None:
        self.query, self._plan = arrays_query(plan), plan

    def read(self, prepared: PreparedQueries, result: PGresult, count: int) -> tuple[list[ReadColumn], bool]:
        arrays = _Arrays(self._plan, _fields(result), loader=prepared.loader, count=count)
        return arrays.columns(), arrays.whole


class _Arrays:
    """One row of arrays, taken from the left; `whole`: no null and no exception has been met."""

    def __init__(self, plan: Plan, fields: Iterator[Field], *, loader: Transformer, count: int) -> None:
        self._plan, self._count = plan, count
        self._loader, self._fields = loader, fields
        self.whole = True

    def columns(self) -> list[ReadColumn]:
        columns = [self._nowhere("O", self._no_moments())] * self._plan.width
        for part in self._plan.parts:
            for place, column in self._view(part):
                columns[place] = column
        return columns

    def _view(self, part: ViewPart) -> Iterator[tuple[int, ReadColumn]]:
        places, moments = self._places(), self._no_moments()
        moments[places] = as_datetime64(_numbers(next(self._fields), ">i8"))
        own = self._own(part, moments)
        for place, column in part.features:
            read = self._nowhere(_dtype(column), own.get(place, moments))
            read.values[places] = self._values(column)
            read.nulls[places] = False
            self._mark_nulls(read)
            if place in own:
                read.nulls[np.isnat(read.moments)] = True
            yield place, read

    def _own(self, part: ViewPart, moments: NDArray[np.datetime64]) -> dict[int, NDArray[np.datetime64]]:
        """The moments of those features that in some row do not have the row's, by the feature's place."""
        own: dict[int, NDArray[np.datetime64]] = {}
        for entity, exception in zip(self._places(), self._objects(next(self._fields)), strict=True):
            for place, moment in own_moments(part, exception):
                told = "NaT" if moment is None else moment.replace(tzinfo=None)
                own.setdefault(place, moments.copy())[entity] = np.datetime64(told, "us")
            self.whole = False
        return own

    def _mark_nulls(self, read: ReadColumn) -> None:
        places = self._places()
        if len(places):
            read.nulls[places] = True
            self.whole = False

    def _values(self, column: Column) -> Any:
        field = next(self._fields)
        if column.pg_type in DTYPES:
            return _numbers(field, DTYPES[column.pg_type])
        return self._objects(field)

    def _places(self) -> NDArray[Any]:
        return _numbers(next(self._fields), ">i4") - 1

    def _objects(self, field: Field) -> list[Any]:
        oid, data = field
        return [] if data is None else self._loader.get_loader(oid, Format.BINARY).load(data)

    def _nowhere(self, dtype: Any, moments: NDArray[np.datetime64]) -> ReadColumn:
        """A column of nulls; their moments are these."""
        return ReadColumn(np.zeros(self._count, dtype), np.ones(self._count, dtype=bool), moments)

    def _no_moments(self) -> NDArray[np.datetime64]:
        return np.full(self._count, "NaT", MOMENT)


def _fields(result: PGresult) -> Iterator[Field]:
    return ((result.ftype(number), result.get_value(0, number)) for number in range(result.nfields))


def _numbers(field: Field, dtype: str) -> NDArray[Any]:
    """Of an array without nulls: after a header of 20 bytes each element, after four bytes for its size."""
    _, data = field
    if data is None:
        return np.zeros(0, np.dtype(dtype).newbyteorder("="))
    elements = np.frombuffer(data, np.dtype([("size", ">i4"), ("value", dtype)]), offset=HEADER)
    return elements["value"].astype(np.dtype(dtype).newbyteorder("="))


def _dtype(column: Column) -> Any:
    return np.dtype(DTYPES.get(column.pg_type, "O")).newbyteorder("=")
