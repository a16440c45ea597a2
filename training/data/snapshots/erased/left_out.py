"""Staged rows of erased entities: left out of a load that describes a moment before their erasure.

So an old extract, or a late delivery of labels, brings nobody back.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from psycopg import sql

from asof.errors import ConfigurationError
from asof.extracts.schema import ExtractSchema, RawTable
from asof.features.join_keys import SEPARATOR
from asof.settings import Settings
from asof.trust.erasure_key import FIELD, FORMAT, VALUE, digest, erasure_key, key_id, pads
from training.data.snapshots.append import staging_table
from training.data.snapshots.erased.tombstones import Tombstone, read_tombstones
from training.data.snapshots.tables import Connection

DELETE = """
DELETE FROM {staging} WHERE encode(sha256(%(outer)s || sha256(%(inner)s || convert_to({text}, 'UTF8'))), 'hex')
    = ANY(%(digests)s)"""


@dataclass(frozen=True)
class Erased:
    """The tombstones that a load must heed, by the names of their keys; and the key of their hashes."""

    use_case: str = ""
    key: bytes = field(default=b"", repr=False)
    digests: dict[tuple[str, ...], set[str]] = field(default_factory=dict)

    def remove(self, connection: Connection, tables: Iterable[RawTable]) -> dict[str, int]:
        """Deletes the staged rows of erased entities; returns how many, by table."""
        counts = {table.name: self._remove(connection, table) for table in tables}
        return {name: count for name, count in counts.items() if count}

    def knows(self, names: Sequence[str]) -> Callable[[str], bool] | None:
        """Whether an id, whose values of these keys are joined by SEPARATOR, is that of an erased entity."""
        if not self.digests:
            return None

        def is_erased(text: str) -> bool:
            values = dict(zip(names, text.split(SEPARATOR), strict=False))
            return any(
                digest(self.key, self.use_case, {name: values[name] for name in keys}).hex() in digests
                for keys, digests in self.digests.items()
                if values.keys() >= set(keys)
            )

        return is_erased

    def _remove(self, connection: Connection, table: RawTable) -> int:
        own = {column.name for column in table.key_columns}
        inner, outer = pads(self.key)
        removed = 0
        for keys, digests in self.digests.items():
            if own >= set(keys):
                statement = sql.SQL(DELETE).format(staging=staging_table(table), text=_message(self.use_case, keys))
                values = {"outer": outer, "inner": inner, "digests": sorted(digests)}
                removed += connection.execute(statement, values).rowcount
        return removed


def erased_before(settings: Settings, connection: Connection, schema: ExtractSchema, as_of: datetime) -> Erased:
    """The tombstones that cover rows which describe `as_of`.

    Raises ConfigurationError where the key of one is not here: its entity could not be told from others.
    """
    covering = [each for each in read_tombstones(connection, schema.use_case) if as_of <= each.until]
    if not covering:
        return Erased()
    key = erasure_key(settings)
    require_key(key, covering)
    digests: dict[tuple[str, ...], set[str]] = {}
    for each in covering:
        digests.setdefault(tuple(each.keys), set()).add(each.digest)
    return Erased(schema.use_case, key, digests)


def require_key(key: bytes, tombstones: Iterable[Tombstone]) -> None:
    """Raises ConfigurationError where a tombstone was made with another key."""
    if others := {each.key_id for each in tombstones} - {key_id(key)}:
        raise ConfigurationError(
            f"Tombstones were made with the key {', '.join(sorted(others))}, and {key_id(key)} is set: set "
            "ASOF_ERASURE_KEY to that of `flows erase`."
        )


def _message(use_case: str, keys: Sequence[str]) -> sql.Composable:
    """The text that `asof.trust.erasure_key.digest` hashes."""
    parts: list[sql.Composable] = [sql.Literal(f"{FORMAT}{FIELD}{use_case}")]
    for name in sorted(keys):
        parts += [sql.Literal(f"{FIELD}{name}{VALUE}"), sql.SQL("{}::text").format(sql.Identifier(name))]
    return sql.SQL(" || ").join(parts)
