"""Timestamps as PostgreSQL sends them and as features have them: one for a whole row, or one for each feature."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import DataError

from online_store.encoding.copy_format import EPOCH
from online_store.reading.direct_query import ViewPart

INFINITE = 2**62
"""Microseconds beyond which PostgreSQL has only its infinities."""
MOMENT = np.dtype("datetime64[us]")


@lru_cache(maxsize=4096)
def as_datetime(microseconds: int) -> datetime:
    """In UTC. Raises psycopg.DataError for what a datetime cannot hold."""
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError as error:
        raise DataError("A row's moment is beyond what Python's datetime can hold.") from error


def as_datetime64(microseconds: NDArray[np.int64]) -> NDArray[np.datetime64]:
    """In UTC, of the same shape. Raises psycopg.DataError for an infinite timestamp."""
    if microseconds.size and not -INFINITE < microseconds.min() <= microseconds.max() < INFINITE:
        raise DataError("A row's moment is beyond what NumPy's datetime64 can hold.")
    return np.datetime64(EPOCH.replace(tzinfo=None), "us") + microseconds.astype("timedelta64[us]")


def own_moments(part: ViewPart, exception: Sequence[Any]) -> Iterator[tuple[int, datetime | None]]:
    """The features of an exceptional row that do not share its timestamp: position, and own timestamp or None (absent).

    `exception` is [layout, apart] of the row.
    """
    layout: int = exception[0]
    own: Mapping[str, str | None] = exception[1] or {}
    for position, column in part.features:
        if column.name in own:
            moment = own[column.name]
            yield position, None if moment is None else datetime.fromisoformat(moment).astimezone(UTC)
        elif column.since > layout:
            yield position, None
