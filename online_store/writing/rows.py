"""Rows to write: Feast's rows in, groups out of which each is one upsert: distinct keys, and all whole or all partial.

The order of rows that share a key is kept as if they were written one by one. Of those that give the same features only
the one that would win is kept; others go into a later group.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from online_store.reading.keys import key_fields
from online_store.reading.lookup import Key
from online_store.schema.layout import Layout
from online_store.schema.values import field_writer
from online_store.writing import copy_format
from online_store.writing.copy_format import NULL

Written = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
"""A row as Feast hands it in: entity key, values, event and created timestamps."""


@dataclass(frozen=True)
class Row:
    """A row to write: its key and its timestamps encoded. `given` is None where all features are given."""

    key: bytes
    values: Mapping[str, Value]
    event_ts: bytes
    created_ts: bytes
    given: frozenset[str] | None


@dataclass(frozen=True)
class Group:
    """Rows for one upsert."""

    partial: bool
    rows: Sequence[Row]


def groups(layout: Layout, written: Iterable[Written]) -> list[Group]:
    """Raises UnfitValue for a key that cannot be one."""
    names = frozenset(each.name for each in layout.features)
    waves: list[dict[Key, Row]] = []
    last: dict[Key, int] = {}
    for entity, values, event_ts, created_ts in written:
        given = names & values.keys()
        if not given:
            continue
        key, fields = key_fields(layout, entity)
        # Where a source's row has none, Feast hands on pandas' NaT, which does not equal itself.
        created = NULL
        if created_ts is not None and created_ts == created_ts:
            created = copy_format.moment(created_ts)
        row = Row(fields, values, copy_format.moment(event_ts), created, None if len(given) == len(names) else given)
        wave = last.get(key)
        if wave is not None and _comparable(waves[wave][key], row):
            waves[wave][key] = _winner(waves[wave][key], row)
            continue
        last[key] = wave = 0 if wave is None else wave + 1
        if wave == len(waves):
            waves.append({})
        waves[wave][key] = row
    return [group for wave in waves for group in _by_kind(wave.values())]


def encoded(layout: Layout) -> Callable[[Row], bytes]:
    """What makes of a row one of a COPY into the staging table. It raises UnfitValue."""
    columns = [(each.name, field_writer(each, layout.view)) for each in layout.features]
    count = len(layout.keys) + len(columns) + 2
    null = Value()

    def whole(row: Row) -> bytes:
        values = row.values
        fields = [write(values[name]) for name, write in columns]
        return copy_format.row(count, [row.key, *fields, row.event_ts, row.created_ts])

    def partial(row: Row) -> bytes:
        fields = [write(row.values.get(name, null)) for name, write in columns]
        absent = copy_format.jsonb({name: None for name, _ in columns if name not in (row.given or ())})
        return copy_format.row(count + 1, [row.key, *fields, row.event_ts, row.created_ts, absent])

    return lambda row: whole(row) if row.given is None else partial(row)


def _comparable(one: Row, other: Row) -> bool:
    """Whether it is known which of two rows wins, whatever the table holds."""
    return one.given == other.given and (one.created_ts == NULL) == (other.created_ts == NULL)


def _winner(one: Row, other: Row) -> Row:
    """The later row wins unless it is older."""
    return one if _age(other) < _age(one) else other


def _age(row: Row) -> tuple[int, int]:
    return _number(row.event_ts), _number(row.created_ts)


def _number(field: bytes) -> int:
    return int.from_bytes(field[4:], "big", signed=True)


def _by_kind(rows: Iterable[Row]) -> list[Group]:
    kinds: dict[bool, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row.given is not None, []).append(row)
    return [Group(partial, found) for partial, found in kinds.items()]
