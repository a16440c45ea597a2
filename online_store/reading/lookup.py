"""One prepared query for features of views that share their join keys: keys in, rows out, absent and null kept apart.

Next to the values of each view the query returns the version of its table. If that differs from the layout's, or
PostgreSQL raises one of LAYOUT_ERRORS, the layout is outdated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from online_store.encoding.copy_format import NOT_A_TIME
from online_store.encoding.parameters import KeyArray, key_array
from online_store.errors import LayoutChanged
from online_store.schema.layout import EVENT_TS, LAYOUT, OWN_MOMENTS, Column, Layout
from online_store.schema.names import quoted

MAX_COLUMNS = 1600
"""PostgreSQL returns at most 1,664 columns."""

Key = tuple[Any, ...]


@dataclass(frozen=True)
class FoundFeatures:
    """A row: its timestamp, its values (None: null), and which features it has; None: all of them."""

    moment: datetime
    values: Sequence[Any]
    present: Sequence[bool] | None


@dataclass(frozen=True)
class Lookup:
    """What to read of one view: the requested features that its table has, in the table's order."""

    layout: Layout
    features: tuple[Column, ...]
    newest: int

    @classmethod
    def of(cls, layout: Layout, requested: Sequence[str] | None = None) -> "Lookup":
        """Without `requested`, all features."""
        names = None if requested is None else set(requested)
        features = tuple(each for each in layout.features if names is None or each.name in names)
        return cls(layout, features, newest=max((each.since for each in features), default=0))

    @property
    def width(self) -> int:
        """The number of `columns`."""
        return len(self.features) + 4

    def columns(self, table: str) -> list[str]:
        """Features, event_ts, layout, apart, and the current version of the table."""
        features = [_selected(f"{table}.{quoted(each.column)}", each.pg_type) for each in self.features]
        return [
            *features,
            f"{table}.{EVENT_TS}",
            f"{table}.{LAYOUT}",
            f"{table}.{OWN_MOMENTS}",
            self.layout.version_now,
        ]

    def decode(self, columns: Sequence[Any]) -> FoundFeatures | None:
        """The values of `columns`, or None where there is no row. Raises LayoutChanged."""
        event_ts, layout, own, version = columns[-4:]
        if version != self.layout.version:
            raise LayoutChanged(f"The table of view {self.layout.view} has changed.")
        if event_ts is None:
            return None
        values = columns[:-4]
        if own is None and layout >= self.newest:
            return FoundFeatures(event_ts, values, None)
        moments = [self._moment(feature, event_ts, layout, own or {}) for feature in self.features]
        # The oldest of several timestamps: the whole must not look newer than any part of it.
        oldest = min((each for each in moments if each is not None), default=event_ts)
        return FoundFeatures(oldest, values, [each is not None for each in moments])

    @staticmethod
    def _moment(feature: Column, event_ts: datetime, layout: int, own: dict[str, str | None]) -> datetime | None:
        if feature.name not in own:
            return event_ts if feature.since <= layout else None
        moment = own[feature.name]
        return None if moment is None else datetime.fromisoformat(moment).astimezone(UTC)


@dataclass(frozen=True)
class JointLookup:
    """Lookups in views whose join keys have the same types, as one query."""

    lookups: tuple[Lookup, ...]
    query: bytes

    @classmethod
    def of(cls, lookups: Sequence[Lookup]) -> "JointLookup":
        return cls(tuple(lookups), _query(lookups).encode())

    def parameters(self, keys: Sequence[Key]) -> list[KeyArray]:
        """For distinct keys, each a tuple in the order of the layouts' keys."""
        key_columns = self.lookups[0].layout.keys
        columns = zip(*keys, strict=True) if keys else ((),) * len(key_columns)
        return [key_array(key.pg_type, column) for key, column in zip(key_columns, columns, strict=True)]

    def decode(self, row: Sequence[Any]) -> tuple[Key, Iterator[FoundFeatures | None]]:
        """The key of a result row, and what each view has for it. The latter raises LayoutChanged."""
        keys = len(self.lookups[0].layout.keys)
        return tuple(row[:keys]), self._each(row, keys)

    def _each(self, row: Sequence[Any], start: int) -> Iterator[FoundFeatures | None]:
        for lookup in self.lookups:
            yield lookup.decode(row[start : start + lookup.width])
            start += lookup.width


def key_signature(layout: Layout) -> tuple[str, ...]:
    """Equal for layouts whose keys can be looked up with the same parameters."""
    return tuple(f"{each.name} {each.feast_type}" for each in layout.keys)


def _selected(name: str, pg_type: str) -> str:
    """The column in SQL; timestamps as seconds since 1970, as in Feast, because Python's years have four digits."""
    if pg_type == "timestamptz":
        return _seconds(name)
    if pg_type == "timestamptz[]":
        seconds = f"SELECT array_agg({_seconds('of.moment')} ORDER BY of.number)"
        array = f"({seconds} FROM unnest({name}) WITH ORDINALITY AS of (moment, number))"
        return f"CASE WHEN {name} IS NOT NULL THEN coalesce({array}, '{{}}') END"
    return name


def _seconds(name: str) -> str:
    return f"CASE WHEN {name} = '-infinity' THEN {NOT_A_TIME} ELSE extract(epoch FROM {name})::int8 END"


def _query(lookups: Sequence[Lookup]) -> str:
    keys = lookups[0].layout.keys
    arrays = ", ".join(f"${number}::{key.pg_type}[]" for number, key in enumerate(keys, 1))
    names = ", ".join(f"k{number}" for number, _ in enumerate(keys))
    selected = [_selected(f"asked.k{number}", key.pg_type) for number, key in enumerate(keys)]
    joins = []
    for number, lookup in enumerate(lookups):
        same = " AND ".join(f"v{number}.{quoted(key.column)} = asked.k{k}" for k, key in enumerate(lookup.layout.keys))
        joins.append(f"LEFT JOIN {lookup.layout.full_name} AS v{number} ON {same}")
        selected += lookup.columns(f"v{number}")
    # The versions change the text, so that no connection reuses a statement prepared before a change.
    versions = " ".join(str(lookup.layout.version) for lookup in lookups)
    return (
        f"SELECT /* layouts {versions} */ {', '.join(selected)} FROM unnest({arrays}) AS asked ({names})"
        f" {' '.join(joins)}"
    )
