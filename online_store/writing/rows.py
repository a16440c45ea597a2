"""Groups Feast's rows, for one upsert a group: with distinct keys, and either all complete or all partial.

The result is as if rows with the same key were written one after another. Of those with the same features only the one
that wins is kept; others go into a later group.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from online_store.encoding import copy_format
from online_store.encoding.copy_format import NULL
from online_store.reading.keys import Key, key_fields
from online_store.schema.layout import Layout
from online_store.schema.values import field_writer

FeastRow = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
"""Entity key, values, event and created timestamps."""


@dataclass(frozen=True)
class Row:
    """A row with its key and its timestamps encoded. `present` are the features that it has; None: all."""

    key: bytes
    values: Mapping[str, Value]
    event_ts: bytes
    created_ts: bytes
    present: frozenset[str] | None


@dataclass(frozen=True)
class Group:
    """Rows for one upsert."""

    partial: bool
    rows: Sequence[Row]


def group_rows(layout: Layout, rows: Iterable[FeastRow]) -> list[Group]:
    """Raises InvalidValue for an invalid key."""
    names = frozenset(each.name for each in layout.features)
    waves: list[dict[Key, Row]] = []
    last: dict[Key, int] = {}
    for entity, values, event_ts, created_ts in rows:
        present = names & values.keys()
        if not present:
            continue
        key, fields = key_fields(layout, entity)
        # Without a created timestamp, Feast passes None or pandas' NaT, which does not equal itself.
        created = NULL if created_ts is None or created_ts != created_ts else copy_format.timestamp(created_ts)
        event = copy_format.timestamp(event_ts)
        row = Row(fields, values, event, created, None if len(present) == len(names) else present)
        wave = last.get(key)
        if wave is not None and _comparable(waves[wave][key], row):
            waves[wave][key] = _winner(waves[wave][key], row)
            continue
        last[key] = wave = 0 if wave is None else wave + 1
        if wave == len(waves):
            waves.append({})
        waves[wave][key] = row
    return [group for wave in waves for group in _by_completeness(wave.values())]


def row_encoder(layout: Layout) -> Callable[[Row], bytes]:
    """A function that encodes a row for the COPY into the staging table. It raises InvalidValue."""
    columns = [(each.name, field_writer(each, layout.view)) for each in layout.features]
    count = len(layout.keys) + len(columns) + 2
    null = Value()

    def complete(row: Row) -> bytes:
        values = row.values
        fields = [write(values[name]) for name, write in columns]
        return copy_format.row(count, [row.key, *fields, row.event_ts, row.created_ts])

    def partial(row: Row) -> bytes:
        fields = [write(row.values.get(name, null)) for name, write in columns]
        absent = copy_format.jsonb({name: None for name, _ in columns if name not in (row.present or ())})
        return copy_format.row(count + 1, [row.key, *fields, row.event_ts, row.created_ts, absent])

    return lambda row: complete(row) if row.present is None else partial(row)


def _comparable(one: Row, other: Row) -> bool:
    """Whether it is known which of two rows wins, whatever the table holds."""
    return one.present == other.present and (one.created_ts == NULL) == (other.created_ts == NULL)


def _winner(one: Row, other: Row) -> Row:
    """The other, unless it is older."""
    return one if _age(other) < _age(one) else other


def _age(row: Row) -> tuple[int, ...]:
    return tuple(int.from_bytes(field[4:], "big", signed=True) for field in (row.event_ts, row.created_ts))


def _by_completeness(rows: Iterable[Row]) -> list[Group]:
    groups: dict[bool, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.present is not None, []).append(row)
    return [Group(partial, each) for partial, each in groups.items()]
