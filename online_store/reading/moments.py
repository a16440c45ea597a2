"""Moments as PostgreSQL sends them, and as features have them: in most rows one for all, in some one for each."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import DataError

from online_store.reading.direct_query import ViewPart

START = datetime(2000, 1, 1, tzinfo=UTC)
"""Where PostgreSQL counts from, in microseconds."""
LIMIT = 2**62
"""Beyond lie its infinities alone."""
MOMENT = np.dtype("datetime64[us]")


@lru_cache(maxsize=4096)
def as_datetime(microseconds: int) -> datetime:
    """In UTC. Raises psycopg.DataError for what no datetime can be."""
    try:
        return START + timedelta(microseconds=microseconds)
    except OverflowError as error:
        raise DataError("A row's moment is beyond what Python's datetime can hold.") from error


def as_datetime64(microseconds: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """In UTC, shape as given. Raises psycopg.DataError for an infinite one."""
    if microseconds.size and not -LIMIT < microseconds.min() <= microseconds.max() < LIMIT:
        raise DataError("A row's moment is beyond what NumPy's datetime64 can hold.")
    return np.datetime64(START.replace(tzinfo=None), "us") + microseconds.astype("timedelta64[us]")


def own_moments(part: ViewPart, exception: Sequence[Any]) -> Iterator[tuple[int, datetime | None]]:
    """Of a row that is exceptional, the features read that do not have the row's moment: each one's place and its own
    moment, or None where the row lacks it.
    """
    layout: int = exception[0]
    apart: Mapping[str, str | None] = exception[1] or {}
    for place, column in part.features:
        if column.name in apart:
            told = apart[column.name]
            yield place, None if told is None else datetime.fromisoformat(told).astimezone(UTC)
        elif column.since > layout:
            yield place, None
