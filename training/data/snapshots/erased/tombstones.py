"""The table `erasures`: a tombstone for each erasure, which has a keyed hash of the entity and never its id.

It covers what describes moments up to `until`. Who comes back later under the same id is another customer, whose rows
are loaded.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from asof.errors import DataError
from training.data.snapshots.owned_tables import create_if_absent, table_exists

TABLE = "public.erasures"
CREATE = f"""
CREATE TABLE {TABLE} (
    use_case text NOT NULL,
    keys text[] NOT NULL,
    digest text NOT NULL,
    key_id text NOT NULL,
    until timestamptz NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    copies jsonb NOT NULL DEFAULT '{{}}',
    finished_at timestamptz,
    PRIMARY KEY (digest, until)
)"""
COLUMNS = "use_case, keys, digest, key_id, until, actor, reason, copies, finished_at"
INSERT = f"""
INSERT INTO {TABLE} ({COLUMNS}) VALUES (%(use_case)s, %(keys)s, %(digest)s, %(key_id)s, %(until)s, %(actor)s,
    %(reason)s, %(copies)s, %(finished_at)s) ON CONFLICT DO NOTHING"""  # noqa: S608 - constants
SELECT = f"SELECT {COLUMNS} FROM {TABLE} WHERE use_case = %s ORDER BY until, digest"  # noqa: S608
EXTEND = f"UPDATE {TABLE} SET until = %s WHERE digest = %s AND until = %s"  # noqa: S608
UPDATE = f"UPDATE {TABLE} SET copies = %s, finished_at = %s WHERE digest = %s AND until = %s"  # noqa: S608


@dataclass(frozen=True)
class Tombstone:
    """One erasure: `digest` in hexadecimal of an entity with the named `keys`, by the key `key_id`.

    `copies` counts what was erased, by place. `finished_at` is None while an interrupted erasure waits to be finished.
    """

    use_case: str
    keys: Sequence[str]
    digest: str
    key_id: str
    until: datetime
    actor: str
    reason: str
    copies: Mapping[str, int]
    finished_at: datetime | None = None

    def to_json(self) -> str:
        """One line, for `home/erasures.jsonl`."""
        return json.dumps(vars(self), default=lambda each: each.astimezone(UTC).isoformat(), sort_keys=True)

    @classmethod
    def from_json(cls, line: str) -> "Tombstone":
        """The inverse of `to_json`. Raises DataError for another line."""
        try:
            read: dict[str, Any] = json.loads(line)
            moments = {name: read[name] and datetime.fromisoformat(read[name]) for name in ("until", "finished_at")}
            return cls(**(read | moments))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"A line is no tombstone ({error}): name a file erasures.jsonl of `flows erase`.") from None


def create_table(connection: psycopg.Connection[Any]) -> None:
    """Creates the table unless it exists."""
    create_if_absent(connection, TABLE, CREATE)


def read_tombstones(connection: psycopg.Connection[Any], use_case: str) -> list[Tombstone]:
    """Those of a use case, oldest first; none where the table does not exist."""
    if not table_exists(connection, TABLE):
        return []
    with connection.cursor(row_factory=class_row(Tombstone)) as cursor:
        rows = cursor.execute(SELECT, (use_case,)).fetchall()
    return [replace(each, until=each.until.astimezone(UTC)) for each in rows]


def insert(connection: psycopg.Connection[Any], tombstone: Tombstone) -> None:
    """Adds it unless it is there."""
    connection.execute(INSERT, vars(tombstone) | {"copies": Jsonb(tombstone.copies), "keys": [*tombstone.keys]})


def extend(connection: psycopg.Connection[Any], tombstone: Tombstone, until: datetime) -> Tombstone:
    """One that was not finished covers what describes moments up to `until`, too."""
    connection.execute(EXTEND, (until, tombstone.digest, tombstone.until))
    return replace(tombstone, until=until)


def record(connection: psycopg.Connection[Any], tombstone: Tombstone) -> None:
    """Writes its counts, and when it was finished."""
    values = (Jsonb(tombstone.copies), tombstone.finished_at, tombstone.digest, tombstone.until)
    connection.execute(UPDATE, values)
