"""One prepared query for some features of some views that are keyed alike: keys in, rows out, absent told from null.

Beside each view's values stands the version of its table as the query saw it. Where that is not the layout's, the
layout is old, and the answer with it: LayoutMoved. What PostgreSQL says in that case, where it says anything, is in
MOVED.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import errors as pg

from online_store.errors import LayoutMoved
from online_store.reading.parameters import KeyArray, key_array
from online_store.schema.layout import APART, EVENT_TS, LAYOUT, Column, Layout
from online_store.schema.names import quoted
from online_store.writing.copy_format import NOT_A_TIME

MOVED = (pg.UndefinedColumn, pg.UndefinedTable, pg.UndefinedFunction, pg.DatatypeMismatch, pg.FeatureNotSupported)
"""Columns or tables that are gone, or have another type; the last is 'cached plan must not change result type'."""

MOST_COLUMNS = 1600
"""PostgreSQL gives at most 1,664 columns."""

Key = tuple[Any, ...]
Held = tuple[datetime, int, dict[str, str | None]]
"""A row's event_ts, layout and apart."""


@dataclass(frozen=True)
class FoundFeatures:
    """A row: its moment, its values, and which of them are there; None where all are. A value of None is a null."""

    moment: datetime
    values: Sequence[Any]
    present: Sequence[bool] | None


@dataclass(frozen=True)
class Lookup:
    """What is asked of one view: those of the requested features that its table has, in the table's order."""

    layout: Layout
    features: tuple[Column, ...]
    newest: int

    @classmethod
    def of(cls, layout: Layout, requested: Sequence[str] | None = None) -> "Lookup":
        """Without a request, all features."""
        names = None if requested is None else set(requested)
        features = tuple(each for each in layout.features if names is None or each.name in names)
        return cls(layout, features, newest=max((each.since for each in features), default=0))

    @property
    def width(self) -> int:
        """How many columns of the answer are this view's."""
        return len(self.features) + 4

    def columns(self, table: str) -> list[str]:
        """Features, event_ts, layout, apart, and the table's version now."""
        features = [given(each, table) for each in self.features]
        return [*features, f"{table}.{EVENT_TS}", f"{table}.{LAYOUT}", f"{table}.{APART}", self.layout.version_now]

    def read(self, columns: Sequence[Any]) -> FoundFeatures | None:
        """Those columns; None where there is no row. Raises LayoutMoved."""
        event_ts, layout, apart, version = columns[-4:]
        if version != self.layout.version:
            raise LayoutMoved(f"The table of {self.layout.view} has changed.")
        if event_ts is None:
            return None
        values = columns[:-4]
        if apart is None and layout >= self.newest:
            return FoundFeatures(event_ts, values, None)
        return self._standing_apart(values, (event_ts, layout, apart or {}))

    def _standing_apart(self, values: Sequence[Any], held: Held) -> FoundFeatures:
        event_ts, layout, apart = held
        moments: list[datetime | None] = []
        for feature in self.features:
            if feature.name in apart:
                own = apart[feature.name]
                moments.append(None if own is None else datetime.fromisoformat(own).astimezone(UTC))
            else:
                moments.append(event_ts if feature.since <= layout else None)
        # Of several moments the oldest is told: the whole must not look newer than any part of it.
        oldest = min((each for each in moments if each is not None), default=event_ts)
        return FoundFeatures(oldest, values, [each is not None for each in moments])


@dataclass(frozen=True)
class JointLookup:
    """Lookups of views whose keys are of the same types, in one query."""

    lookups: tuple[Lookup, ...]
    query: bytes

    @classmethod
    def of(cls, lookups: Sequence[Lookup]) -> "JointLookup":
        return cls(tuple(lookups), _query(lookups).encode())

    def parameters(self, keys: Sequence[Key]) -> list[KeyArray]:
        """Of distinct keys, each a tuple in the order of the layouts' keys."""
        columns = zip(*keys, strict=True) if keys else ((),) * len(self.lookups[0].layout.keys)
        return [
            key_array(key.pg_type, column) for key, column in zip(self.lookups[0].layout.keys, columns, strict=True)
        ]

    def read(self, row: Sequence[Any]) -> tuple[Key, Iterator[FoundFeatures | None]]:
        """A row of the answer: the key, and what each view has of it. The latter raises LayoutMoved."""
        keys = len(self.lookups[0].layout.keys)
        return tuple(row[:keys]), self._each(row, keys)

    def _each(self, row: Sequence[Any], start: int) -> Iterator[FoundFeatures | None]:
        for lookup in self.lookups:
            yield lookup.read(row[start : start + lookup.width])
            start += lookup.width


def keyed_alike(layout: Layout) -> tuple[str, ...]:
    """What two layouts share whose keys can be asked for by the same parameters."""
    return tuple(f"{each.name} {each.feast_type}" for each in layout.keys)


def given(column: Column, table: str) -> str:
    """The column in SQL; timestamps as seconds since 1970, as Feast has them: Python's have four digits of a year."""
    return _given(f"{table}.{quoted(column.column)}", column.pg_type)


def _given(place: str, pg_type: str) -> str:
    if pg_type == "timestamptz":
        return _seconds(place)
    if pg_type == "timestamptz[]":
        each = f"SELECT array_agg({_seconds('of.moment')} ORDER BY of.number)"
        all_of_it = f"({each} FROM unnest({place}) WITH ORDINALITY AS of (moment, number))"
        return f"CASE WHEN {place} IS NOT NULL THEN coalesce({all_of_it}, '{{}}') END"
    return place


def _seconds(place: str) -> str:
    return f"CASE WHEN {place} = '-infinity' THEN {NOT_A_TIME} ELSE extract(epoch FROM {place})::int8 END"


def _query(lookups: Sequence[Lookup]) -> str:
    keys = lookups[0].layout.keys
    asked = ", ".join(f"${number}::{key.pg_type}[]" for number, key in enumerate(keys, 1))
    names = ", ".join(f"k{number}" for number, _ in enumerate(keys))
    selected = [_given(f"asked.k{number}", key.pg_type) for number, key in enumerate(keys)]
    joins = []
    for number, lookup in enumerate(lookups):
        same = " AND ".join(
            f"v{number}.{quoted(key.column)} = asked.k{place}" for place, key in enumerate(lookup.layout.keys)
        )
        joins.append(f"LEFT JOIN {lookup.layout.place} AS v{number} ON {same}")
        selected += lookup.columns(f"v{number}")
    # The versions make the text another one, so that no connection takes a statement of the time before a change.
    versions = " ".join(str(lookup.layout.version) for lookup in lookups)
    return (
        f"SELECT /* layouts {versions} */ {', '.join(selected)} FROM unnest({asked}) AS asked ({names})"
        f" {' '.join(joins)}"
    )
