"""Values of a training set -> those that became known after its `known_at`, or describe a moment after its `as_of`.

A training set holds, for each entity, the newest row up to `as_of` among those created up to `known_at`. A value that
is not that row's, but that of a row created later, has leaked into training.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asof.model_facts import ModelFacts
from monitoring.audit.judging.judge import Places, equal
from monitoring.audit.reading.rows import ViewRows, in_microseconds
from monitoring.audit.reading.served import Flags, ServedValues


@dataclass(frozen=True)
class Leaks:
    """By row of the training set: whether its value leaked, and the row from which (-1: none)."""

    leaked: Flags
    row: Places


def leaks(rows: ViewRows, facts: ModelFacts, entities: NDArray[np.int64], values: ServedValues) -> Leaks:
    """Of the training set's rows, whose entities are those codes in the view's rows."""
    as_of, known_at = in_microseconds(facts.as_of), in_microseconds(facts.known_at)
    column, oldest = rows.columns[values.name], as_of - rows.source.ttl * 10**6
    timely = (rows.moments >= oldest) if rows.source.ttl else np.ones(len(rows), dtype=bool)
    later = (rows.created > known_at) | (rows.moments > as_of)
    own, row = np.zeros(len(entities), dtype=bool), np.full(len(entities), -1)
    newest = np.full(len(entities), -1)
    for place, has in _of_entities(rows, timely & ~later, entities):
        newest = np.where(has, place, newest)
    for place, has in _of_entities(rows, timely & ~later, entities):
        own |= has & (rows.order[place] == rows.order[newest]) & equal(values, column, place)
    own |= (newest < 0) & values.nulls
    for place, has in _of_entities(rows, timely & later, entities):
        row = np.where(has & ~own & (row < 0) & equal(values, column, place), place, row)
    return Leaks(row >= 0, row)


def _of_entities(rows: ViewRows, chosen: Flags, entities: NDArray[np.int64]) -> Iterator[tuple[Places, Flags]]:
    """The first chosen row of each entity, the second, and so on; and which entities have it."""
    places = np.flatnonzero(chosen)
    first, end = (np.searchsorted(rows.entities[places], entities, side) for side in ("left", "right"))
    for number in range(int((end - first).max(initial=0))):
        has = first + number < end
        yield places[np.where(has, first + number, 0)], has
