"""JoinKeys: by what entities are keyed, and an entity in each of its forms.

In Python, an entity is the value of its one join key, or a tuple of those of several, in the order of their names.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from asof.errors import ConfigurationError
from asof.extracts.schema import ExtractSchema, Kind
from asof.features.entity_key import KeyValue, next_step

Entity = KeyValue | tuple[KeyValue, ...]
Members = KeyValue | Mapping[str, KeyValue]
"""An entity in JSON: the value of its one join key, or an object with those of several."""

KINDS = {"STRING": Kind.TEXT, "INT64": Kind.INTEGER, "UUID": Kind.UUID}
"""Feast's value types -> the kinds of keys. INT32 could not hold all that an extract may have."""
PROBES: Mapping[Kind, KeyValue] = {
    Kind.TEXT: "asof-readiness-probe",
    Kind.INTEGER: 0,
    Kind.UUID: "0" * 8 + "-0000" * 3 + "-" + "0" * 12,
}
"""A value of each kind, for lookups whose result does not matter."""
SEPARATOR = "\x1f"
"""Between the values of several keys, none of which has a control character."""


@dataclass(frozen=True)
class JoinKey:
    """One join key; `views` are the feature views that are keyed by it (empty: all)."""

    name: str
    kind: Kind = Kind.TEXT
    views: tuple[str, ...] = ()


@dataclass(frozen=True)
class JoinKeys:
    """The join keys of an entity, by name."""

    keys: tuple[JoinKey, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.keys)

    @property
    def probe(self) -> Entity:
        """An entity of the right types."""
        return self.entity([PROBES[key.kind] for key in self.keys])

    def entity(self, values: Sequence[KeyValue]) -> Entity:
        """The entity of a value for each key."""
        return values[0] if len(self.keys) == 1 else tuple(values)

    def from_row(self, values: Sequence[Any]) -> Entity:
        """The entity of the keys' values as psycopg gives them."""
        return self.entity([str(value) if isinstance(value, UUID) else value for value in values])

    def values(self, entity: Entity) -> tuple[KeyValue, ...]:
        """The inverse of `entity`."""
        return entity if isinstance(entity, tuple) else (entity,)

    def of(self, request: Any) -> Entity:
        """The entity of a payload, which has a member for each key."""
        return self.entity([getattr(request, name) for name in self.names])

    def columns(self, entities: Sequence[Entity]) -> dict[str, Sequence[KeyValue]]:
        """n entities as n values for each key."""
        if len(self.keys) == 1:
            return {self.names[0]: entities}  # type: ignore[dict-item]
        rows = [self.values(entity) for entity in entities]
        return {name: [row[number] for row in rows] for number, name in enumerate(self.names)}

    def of_view(self, view: str) -> tuple[str, ...]:
        """The names of the view's keys."""
        return tuple(key.name for key in self.keys if not key.views or view in key.views)

    def members(self, entity: Entity, names: Iterable[str] = ()) -> Members:
        """The entity in JSON; of several keys only those of `names` (empty: all)."""
        if len(self.keys) == 1:
            return self.values(entity)[0]
        return {
            name: value
            for name, value in zip(self.names, self.values(entity), strict=True)
            if not names or name in names
        }

    def from_members(self, members: Any) -> Entity:
        """The inverse of `members`, of all keys. Raises KeyError or TypeError for another object."""
        return members if len(self.keys) == 1 else self.entity([members[name] for name in self.names])

    def describe(self, entity: Entity, names: Iterable[str] = ()) -> str:
        """For messages: `'7590-VHVEG'`, or `merchant_id 7, user_id 'u1'`."""
        members = self.members(entity, names)
        if not isinstance(members, Mapping):
            return repr(members)
        return ", ".join(f"{name} {value!r}" for name, value in members.items())

    def unknown(self, entity: Entity, groups: Sequence[tuple[str, ...]]) -> str:
        """The message on an entity of which no view with the keys of each group has a row."""
        named = ", nor ".join(self.describe(entity, group) for group in groups)
        unknown = {name for group in groups for name in group}
        values = [value for name, value in zip(self.names, self.values(entity), strict=True) if name in unknown]
        return f"No feature view knows {named}: {next_step(*values)}"

    def text(self, entity: Entity) -> str:
        """The canonical text: that of the value, or JSON of several. Different entities have different texts."""
        members = self.members(entity)
        return json.dumps(members, ensure_ascii=False) if isinstance(members, Mapping) else str(members)

    def parse(self, text: str) -> Entity:
        """The inverse of `text`."""
        if len(self.keys) > 1:
            return self.from_members(json.loads(text))
        return int(text) if self.keys[0].kind is Kind.INTEGER else text

    def difference(self, other: "JoinKeys") -> str:
        """How names and kinds differ; empty where they do not."""
        ours, theirs = ([(key.name, key.kind) for key in each.keys] for each in (self, other))
        return "" if ours == theirs else f"{self}, not {other}"

    def __str__(self) -> str:
        return ", ".join(f"{key.name} ({key.kind})" for key in self.keys)


def hashable_text(entity: Entity) -> str:
    """A text that is different for each entity of the same keys, and is that of a text id."""
    return SEPARATOR.join(map(str, entity)) if isinstance(entity, tuple) else str(entity)


def keys_of_extract(extract: ExtractSchema) -> JoinKeys:
    """The keys of an extract's entities."""
    return JoinKeys(tuple(JoinKey(column.name, column.kind) for column in extract.key_columns))


def keys_of_views(views: Mapping[str, Mapping[str, str]]) -> tuple[JoinKey, ...]:
    """The join keys of feature views, from the value types of each view's join keys.

    Raises ConfigurationError where a type is not supported, or one key has several.
    """
    types: dict[str, set[str]] = {}
    for columns in views.values():
        for name, value_type in columns.items():
            types.setdefault(name, set()).add(value_type)
    return tuple(JoinKey(name, _kind(name, types[name]), _keyed_by(name, views)) for name in sorted(types))


def require_keys(extract: ExtractSchema, service: str, keys: JoinKeys) -> None:
    """Raises ConfigurationError where a feature service of these keys is not keyed as the extract is."""
    if difference := keys_of_extract(extract).difference(keys):
        raise ConfigurationError(
            f"The extract of {extract.use_case or extract.entity_table} is keyed by {difference}, as feature service "
            f"{service!r} is. Give the Feast entities of its views these join keys and value types."
        )


def _kind(name: str, types: set[str]) -> Kind:
    kinds = {KINDS.get(each) for each in types}
    if None in kinds or len(kinds) > 1:
        raise ConfigurationError(
            f"Join key {name} is {' and '.join(sorted(types))} in Feast: declare its entity as STRING, INT64 or UUID."
        )
    return kinds.pop() or Kind.TEXT


def _keyed_by(name: str, views: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    keyed = sorted(view for view, columns in views.items() if name in columns)
    return tuple(keyed) if len(keyed) < len(views) else ()
