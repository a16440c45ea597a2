"""Snapshot tables -> the offline side of a comparison: the users of a moment, and their values at that moment.

By our own SQL, not by Feast's join: that shares code with the online path, and returns neither the moment of a value
nor the difference between a null and a missing row. tests/training/features/parity/test_parity.py compares the result
with a training set.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString

from psycopg import sql

from asof.extracts.schema import ExtractSchema, Kind
from asof.features.feature_contract import Feature
from asof.features.join_keys import SEPARATOR, Entity, JoinKeys, keys_of_extract
from training.data.snapshots.reading.known_at import KnownTables
from training.features.datasets.point_in_time_sql import ViewSource, listed
from training.features.parity.verdicts import StoredValue
from training.ranges.plan import Range

PYTHON_TYPES = {"Bool": bool, "Int64": int, "Float64": float, "String": str}
"""The Python type of a value of each Feast type, whatever PostgreSQL's type is."""

USERS = "FROM (SELECT DISTINCT {keys} FROM {entities} WHERE as_of = (SELECT max(as_of) FROM {entities})) AS users"
COUNT_USERS = f"SELECT count(*) {USERS}"
USERS_PAGE = f"SELECT {{keys}} {USERS} WHERE {{among}} ORDER BY {{keys}} LIMIT %s"
SAMPLE = f"SELECT {{keys}} {USERS} ORDER BY sha256(convert_to(%s || {{text}}, 'UTF8')) LIMIT %s"
NEWEST_ROWS = """
SELECT DISTINCT ON ({keys}) {keys}, {time}, {features} FROM {source} AS source
WHERE {among} AND {time} <= %s ORDER BY {keys}, {order}"""
ARRAYS = {Kind.TEXT: "%s::text[]", Kind.INTEGER: "%s::bigint[]", Kind.UUID: "%s::uuid[]"}
"""Parameters with the values of a key of each kind."""


def newest_moment(tables: KnownTables, extract: ExtractSchema) -> datetime | None:
    """The newest as_of of any feature table; None if there are no rows."""
    newest = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT max(as_of) AS as_of FROM {}").format(sql.Identifier(table.name)) for table in extract.tables
    )
    row = tables.connection.execute(sql.SQL("SELECT max(as_of) FROM ({}) AS newest").format(newest)).fetchone()
    return row[0] if row else None


@dataclass(frozen=True)
class Users:
    """The users in the newest snapshot of the entity table; `part` limits the pages (None: all)."""

    tables: KnownTables
    extract: ExtractSchema
    part: Range | None = None

    def count(self) -> int:
        return int(self._rows(COUNT_USERS)[0][0])

    @property
    def keys(self) -> JoinKeys:
        """The keys of a user."""
        return keys_of_extract(self.extract)

    def pages(self, size: int) -> Iterator[list[Entity]]:
        """All users, sorted, `size` at a time."""
        last: Entity | None = None
        while page := self._users(USERS_PAGE, size, after=last):
            yield page
            last = page[-1]

    def draw(self, number: int, salt: str) -> list[Entity]:
        """At most `number` users, chosen by SHA-256 over salt and keys: the same call draws the same users."""
        return self._users(SAMPLE, salt, number)

    def _users(self, query: LiteralString, *parameters: object, after: Entity | None = None) -> list[Entity]:
        return [self.keys.from_row(row) for row in self._rows(query, *parameters, after=after)]

    def _rows(self, query: LiteralString, *parameters: object, after: Entity | None = None) -> list[Any]:
        parts = {
            "keys": named(self.extract.keys),
            "entities": sql.Identifier(self.extract.entity_table),
            "among": sql.SQL(" AND ").join([after_entity(self.keys, after), *self._conditions]),
            "text": _text(self.extract.keys),
        }
        values = () if after is None else self.keys.values(after)
        return self.tables.connection.execute(sql.SQL(query).format(**parts), (*values, *parameters)).fetchall()

    @property
    def _conditions(self) -> list[sql.Composable]:
        return self.part.conditions([*map(sql.Identifier, self.keys.names)]) if self.part else []


@dataclass(frozen=True)
class OfflineView:
    """One feature view's newest rows up to `as_of`, for the features that are compared; `keys` are the users'."""

    tables: KnownTables
    source: ViewSource
    keys: JoinKeys
    features: Sequence[Feature]
    as_of: datetime

    @property
    def oldest(self) -> datetime | None:
        """The moment before which a row is past the view's ttl; None if the view has no ttl."""
        return self.as_of - timedelta(seconds=self.source.ttl) if self.source.ttl else None

    def read(self, users: Sequence[Entity]) -> list[list[StoredValue]]:
        """For each feature the value of each user, in their order; `StoredValue()` if there is no row."""
        own = self._own
        columns = self.keys.columns(users)
        entities = list(zip(*(columns[name] for name in own.names), strict=True))
        arrays = map(list, zip(*set(entities), strict=True))
        found = self.tables.connection.execute(self._query(), (*arrays, self.as_of))
        rows = {own.values(own.from_row(row[: len(own.keys)])): row[len(own.keys) :] for row in found}
        absent = (None,) * (1 + len(self.features))
        in_order = [rows.get(entity, absent) for entity in entities]
        return [
            [_stored_value(row[0], row[position], feature.dtype) for row in in_order]
            for position, feature in enumerate(self.features, start=1)
        ]

    @property
    def _own(self) -> JoinKeys:
        """The view's keys, in the order of its source's."""
        return JoinKeys(tuple(key for key in self.keys.keys if key.name in self.source.keys))

    def _query(self) -> sql.Composed:
        columns = [self.source.keys[name] for name in self._own.names]
        arrays = listed(sql.SQL(ARRAYS[key.kind]) for key in self._own.keys)
        among = "{} = ANY({})" if len(columns) == 1 else "({}) IN (SELECT * FROM unnest({}))"
        times = dict.fromkeys((self.source.time, self.source.created))
        return sql.SQL(NEWEST_ROWS).format(
            keys=named(columns),
            among=sql.SQL(among).format(named(columns), arrays),
            time=sql.Identifier(self.source.time),
            features=sql.SQL(", ").join(sql.Identifier(feature.name) for feature in self.features),
            source=sql.SQL(self.source.text),
            order=sql.SQL(", ").join(sql.Identifier(name) + sql.SQL(" DESC") for name in times),
        )


def after_entity(keys: JoinKeys, last: Entity | None) -> sql.Composable:
    """The condition on entities after one in the order of their keys, whose values are parameters; all for None."""
    if last is None:
        return sql.SQL("true")
    return sql.SQL("({}) > ({})").format(named(keys.names), listed([sql.Placeholder()] * len(keys.names)))


def named(columns: Iterable[str]) -> sql.Composed:
    """Identifiers with commas between them."""
    return listed(map(sql.Identifier, columns))


def _text(keys: Sequence[str]) -> sql.Composable:
    """As `hashable_text`."""
    texts = listed(sql.SQL("{}::text").format(sql.Identifier(key)) for key in keys)
    return sql.SQL("concat_ws({}, {})").format(sql.Literal(SEPARATOR), texts)


def _stored_value(as_of: datetime | None, value: Any, dtype: str) -> StoredValue:
    """A NaN is a null, as in the training set."""
    if value is None or value != value:
        return StoredValue(as_of)
    return StoredValue(as_of, PYTHON_TYPES[dtype](value), dtype)
