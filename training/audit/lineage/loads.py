"""The table `loads` -> which load brought a table's rows of two given times, from which file, and what became of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from training.data.snapshots.tables import Connection

BROUGHT = """
SELECT load_id, folder, as_of, known_at, loaded_at, code_version, name AS file, facts ->> 'sha256' AS sha256,
       (facts ->> 'rows')::bigint AS rows, (facts ->> 'new_rows')::bigint AS new_rows
FROM public.loads, jsonb_each(files) AS each(name, facts) WHERE (facts ->> 'new_rows')::bigint > 0"""
IN_TABLE = "SELECT count(*) FROM {} WHERE as_of = {} AND created_at = {}"


class OnDisk(StrEnum):
    """What is at a file's place now, beside the SHA-256 that was recorded when it was loaded."""

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"


@dataclass(frozen=True)
class Load:
    """One file as one load read it: `rows` are in it, `new_rows` of them were added to the table.

    `known_at` is the `created_at` of these rows, `loaded_at` the moment when they really came, both in UTC;
    `code_version` the commit that loaded them. `in_table` rows of these times are in the table now: more or fewer than
    `new_rows`, and somebody wrote past the loader.
    """

    load_id: int
    folder: str
    as_of: datetime
    known_at: datetime
    loaded_at: datetime
    code_version: str
    file: str
    sha256: str
    rows: int
    new_rows: int
    in_table: int
    on_disk: OnDisk


class Loads:
    """All loads that brought rows, by table and times: of one table no two loads bring rows of the same times."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loads: Mapping[tuple[str, datetime, datetime], dict[str, Any]] = {}
        if exists(connection, "loads"):
            with connection.cursor(row_factory=dict_row) as cursor:
                rows = cursor.execute(BROUGHT).fetchall()
            self._loads = {(row["file"].removesuffix(".csv"), row["as_of"], row["known_at"]): row for row in rows}

    def of(self, table: str, as_of: datetime, created_at: datetime) -> Load | None:
        """The load that brought the table's rows of these times; None: none is recorded."""
        if not (row := self._loads.get((table, as_of, created_at))):
            return None
        query = sql.SQL(IN_TABLE).format(sql.Identifier("public", table), sql.Literal(as_of), sql.Literal(created_at))
        (in_table,) = self._connection.execute(query).fetchone() or (0,)
        told: dict[str, Any] = {
            name: in_utc(value) if isinstance(value, datetime) else value for name, value in row.items()
        }
        return Load(**told, in_table=in_table, on_disk=compare(Path(row["folder"]) / row["file"], row["sha256"]))


def exists(connection: Connection, table: str) -> bool:
    """Whether the schema `public` has the table."""
    return connection.execute("SELECT to_regclass(%s)", (f"public.{table}",)).fetchone() != (None,)


def in_utc(moment: datetime) -> datetime:
    """The same moment; the database gives it in the zone of the session."""
    return moment.astimezone(UTC)


def compare(path: Path, sha256: str) -> OnDisk:
    """A file beside the digest that was recorded of it; one that we may not read is as good as gone."""
    try:
        with path.open("rb") as file:
            now = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return OnDisk.GONE
    return OnDisk.SAME if now == sha256 else OnDisk.CHANGED


def trace_problem(load: Load | None, rows: str) -> str:
    """One sentence where `rows` (in words) cannot be traced to a file; else empty."""
    if load is None:
        return f"No load brought {rows}: somebody wrote past the loader."
    if load.in_table != load.new_rows:
        return (
            f"Load {load.load_id} brought {load.new_rows} rows like {rows}, and {load.in_table} are there: "
            "somebody wrote past the loader."
        )
    return ""
