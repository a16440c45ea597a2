"""Snapshot tables -> the offline side of a comparison: the users of a moment, and their values at that moment.

By our own SQL, not by Feast's join: that shares code with the online path, and returns neither the moment of a value
nor the difference between a null and a missing row. tests/training/features/parity/test_parity.py compares the result
with a training set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString

from psycopg import sql

from asof.extract_schema import ExtractSchema
from asof.features.feature_contract import Feature
from training.data.snapshots.known_at import KnownTables
from training.features.datasets.point_in_time_sql import ViewSource
from training.features.parity.verdicts import StoredValue

PYTHON_TYPES = {"Bool": bool, "Int64": int, "Float64": float, "String": str}
"""The Python type of a value of each Feast type, whatever PostgreSQL's type is."""

USERS = "FROM (SELECT DISTINCT {entity} FROM {entities} WHERE as_of = (SELECT max(as_of) FROM {entities})) AS users"
COUNT_USERS = f"SELECT count(*) {USERS}"
USERS_PAGE = f"SELECT {{entity}} {USERS} WHERE {{entity}} > %s ORDER BY {{entity}} LIMIT %s"
SAMPLE = f"SELECT {{entity}} {USERS} ORDER BY sha256(convert_to(%s || {{entity}}, 'UTF8')) LIMIT %s"
NEWEST_ROWS = """
SELECT DISTINCT ON ({entity}) {entity}, {time}, {features} FROM {source} AS source
WHERE {entity} = ANY(%s) AND {time} <= %s ORDER BY {entity}, {order}"""


def newest_moment(tables: KnownTables, extract: ExtractSchema) -> datetime | None:
    """The newest as_of of any feature table; None if there are no rows."""
    newest = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT max(as_of) AS as_of FROM {}").format(sql.Identifier(table.name)) for table in extract.tables
    )
    row = tables.connection.execute(sql.SQL("SELECT max(as_of) FROM ({}) AS newest").format(newest)).fetchone()
    return row[0] if row else None


@dataclass(frozen=True)
class Users:
    """The users in the newest snapshot of the entity table."""

    tables: KnownTables
    extract: ExtractSchema

    def count(self) -> int:
        return int(self._rows(COUNT_USERS)[0][0])

    def pages(self, size: int) -> Iterator[list[str]]:
        """All users, sorted, `size` at a time."""
        last = ""
        while page := [row[0] for row in self._rows(USERS_PAGE, last, size)]:
            yield page
            last = page[-1]

    def draw(self, number: int, salt: str) -> list[str]:
        """At most `number` users, chosen by SHA-256 over salt and key: the same call draws the same users."""
        return [row[0] for row in self._rows(SAMPLE, salt, number)]

    def _rows(self, query: LiteralString, *parameters: object) -> list[Any]:
        names = {"entity": sql.Identifier(self.extract.entity), "entities": sql.Identifier(self.extract.entity_table)}
        return self.tables.connection.execute(sql.SQL(query).format(**names), parameters).fetchall()


@dataclass(frozen=True)
class OfflineView:
    """One feature view's newest rows up to `as_of`, for the features that are compared."""

    tables: KnownTables
    source: ViewSource
    entity: str
    features: Sequence[Feature]
    as_of: datetime

    @property
    def oldest(self) -> datetime | None:
        """The moment before which a row is past the view's ttl; None if the view has no ttl."""
        return self.as_of - timedelta(seconds=self.source.ttl) if self.source.ttl else None

    def read(self, users: Sequence[str]) -> list[list[StoredValue]]:
        """For each feature the value of each user, in their order; `StoredValue()` if there is no row."""
        rows = {row[0]: row[1:] for row in self.tables.connection.execute(self._query(), (list(users), self.as_of))}
        absent = (None,) * (1 + len(self.features))
        in_order = [rows.get(user, absent) for user in users]
        return [
            [_stored_value(row[0], row[position], feature.dtype) for row in in_order]
            for position, feature in enumerate(self.features, start=1)
        ]

    def _query(self) -> sql.Composed:
        times = dict.fromkeys((self.source.time, self.source.created))
        return sql.SQL(NEWEST_ROWS).format(
            entity=sql.Identifier(self.entity),
            time=sql.Identifier(self.source.time),
            features=sql.SQL(", ").join(sql.Identifier(feature.name) for feature in self.features),
            source=sql.SQL(self.source.text),
            order=sql.SQL(", ").join(sql.Identifier(name) + sql.SQL(" DESC") for name in times),
        )


def _stored_value(as_of: datetime | None, value: Any, dtype: str) -> StoredValue:
    """A NaN is a null, as in the training set."""
    if value is None or value != value:
        return StoredValue(as_of)
    return StoredValue(as_of, PYTHON_TYPES[dtype](value), dtype)
