"""Snapshot tables -> the offline side of a comparison: the users of a moment, and what is true of each at that moment.

By SQL of our own and not by Feast's join: that one shares code with the online path, and it tells neither the moment of
a value nor a null from a missing row. The same cells come out: tests/training/features/parity/test_parity.py holds them
against a training set. Everything is read in chunks of users, so that memory does not grow with their number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import sql

from asof.extract_schema import ExtractSchema
from asof.features.feature_contract import Feature
from training.data.snapshots.known_at import KnownTables
from training.features.parity.verdicts import Held

if TYPE_CHECKING:
    from feast import FeatureView

PYTHON_TYPES = {"Bool": bool, "Int64": int, "Float64": float, "String": str}
"""What a training set makes of a value of each Feast type, whatever PostgreSQL's type is."""

USERS = "FROM (SELECT DISTINCT {entity} FROM {entities} WHERE as_of = (SELECT max(as_of) FROM {entities})) AS users"
COUNT = f"SELECT count(*) {USERS}"
PAGE = f"SELECT {{entity}} {USERS} WHERE {{entity}} > %s ORDER BY {{entity}} LIMIT %s"
DRAWN = f"SELECT {{entity}} {USERS} ORDER BY sha256(convert_to(%s || {{entity}}, 'UTF8')) LIMIT %s"
NEWEST_ROWS = """
SELECT DISTINCT ON ({entity}) {entity}, {time}, {features} FROM {source} AS source
WHERE {entity} = ANY(%s) AND {time} <= %s ORDER BY {entity}, {order}"""


def newest_moment(tables: KnownTables, extract: ExtractSchema) -> datetime | None:
    """The newest moment that a row of any feature table describes, or None where there is no row."""
    newest = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT max(as_of) AS as_of FROM {}").format(sql.Identifier(table.name)) for table in extract.tables
    )
    row = tables.connection.execute(sql.SQL("SELECT max(as_of) FROM ({}) AS newest").format(newest)).fetchone()
    return row[0] if row else None


@dataclass(frozen=True)
class Users:
    """The users in the newest snapshot of the entity table: those of whom a training set of that moment is made."""

    tables: KnownTables
    extract: ExtractSchema

    def count(self) -> int:
        return int(self._rows(COUNT)[0][0])

    def pages(self, size: int) -> Iterator[list[str]]:
        """All of them, sorted, `size` at a time."""
        last = ""
        while page := [row[0] for row in self._rows(PAGE, last, size)]:
            yield page
            last = page[-1]

    def draw(self, number: int, salt: str) -> list[str]:
        """`number` of them (or all), decided by SHA-256 over salt and key: the same call draws the same users."""
        return [row[0] for row in self._rows(DRAWN, salt, number)]

    def _rows(self, query: LiteralString, *parameters: object) -> list[Any]:
        names = {"entity": sql.Identifier(self.extract.entity), "entities": sql.Identifier(self.extract.entity_table)}
        return self.tables.connection.execute(sql.SQL(query).format(**names), parameters).fetchall()


@dataclass(frozen=True)
class OfflineView:
    """One feature view's newest rows up to `as_of`, for the features that are compared."""

    tables: KnownTables
    view: "FeatureView"
    entity: str
    features: Sequence[Feature]
    as_of: datetime

    @property
    def oldest(self) -> datetime | None:
        """The moment before which a row is past the view's ttl; None where the view has none."""
        return self.as_of - self.view.ttl if self.view.ttl else None

    def read(self, users: Sequence[str]) -> list[list[Held]]:
        """For each feature what is held of each user, in their order; no row at all is `Held()`."""
        rows = {row[0]: row[1:] for row in self.tables.connection.execute(self._query(), (list(users), self.as_of))}
        absent = (None,) * (1 + len(self.features))
        found = [rows.get(user, absent) for user in users]
        return [
            [_held(row[0], row[position], feature.dtype) for row in found]
            for position, feature in enumerate(self.features, start=1)
        ]

    def _query(self) -> sql.Composed:
        source = self.view.batch_source
        times = [name for name in (source.timestamp_field, source.created_timestamp_column) if name]
        return sql.SQL(NEWEST_ROWS).format(
            entity=sql.Identifier(self.entity),
            time=sql.Identifier(source.timestamp_field),
            features=sql.SQL(", ").join(sql.Identifier(feature.name) for feature in self.features),
            source=sql.SQL(source.get_table_query_string()),
            order=sql.SQL(", ").join(sql.Identifier(name) + sql.SQL(" DESC") for name in times),
        )


def _held(as_of: datetime | None, value: Any, dtype: str) -> Held:
    """A NaN is a null, as in the training set."""
    if value is None or value != value:
        return Held(as_of)
    return Held(as_of, PYTHON_TYPES[dtype](value), dtype)
