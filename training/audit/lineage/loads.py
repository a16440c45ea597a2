"""The table `loads` -> the load that added a table's rows of given as_of and created_at, its file, and its state."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from training.data.snapshots.owned_tables import table_exists
from training.data.snapshots.tables import Connection

LOADED_FILES = """
SELECT load_id, folder, as_of, known_at, loaded_at, code_version, name AS file, facts ->> 'sha256' AS sha256,
       (facts ->> 'rows')::bigint AS rows, (facts ->> 'new_rows')::bigint AS new_rows
FROM public.loads, jsonb_each(files) AS each(name, facts) WHERE (facts ->> 'new_rows')::bigint > 0"""
COUNT_ROWS = "SELECT count(*) FROM {} WHERE as_of = {} AND created_at = {}"


class OnDisk(StrEnum):
    """A loaded file as it is now, compared with the SHA-256 recorded at the load."""

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"


@dataclass(frozen=True)
class Load:
    """One file of one load: it has `rows`, of which `new_rows` were added to the table.

    `known_at` is the `created_at` of these rows, `loaded_at` the real time of the load, both in UTC; `code_version` the
    commit that loaded them. `in_table` rows of these times are in the table now; it differs from `new_rows` only if
    rows were changed without the loader.
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
    """All loads that added rows, by table and times, which are unique for each table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loads: Mapping[tuple[str, datetime, datetime], dict[str, Any]] = {}
        if table_exists(connection, "public.loads"):
            with connection.cursor(row_factory=dict_row) as cursor:
                rows = cursor.execute(LOADED_FILES).fetchall()
            self._loads = {(row["file"].removesuffix(".csv"), row["as_of"], row["known_at"]): row for row in rows}

    def of(self, table: str, as_of: datetime, created_at: datetime) -> Load | None:
        """The load that added the table's rows of these times; None if none is recorded."""
        if not (row := self._loads.get((table, as_of, created_at))):
            return None
        query = sql.SQL(COUNT_ROWS).format(sql.Identifier("public", table), sql.Literal(as_of), sql.Literal(created_at))
        (in_table,) = self._connection.execute(query).fetchone() or (0,)
        fields: dict[str, Any] = {
            name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in row.items()
        }
        return Load(**fields, in_table=in_table, on_disk=compare(Path(row["folder"]) / row["file"], row["sha256"]))


def compare(path: Path, sha256: str) -> OnDisk:
    """Compares a file with its recorded digest; GONE if it cannot be read."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return OnDisk.GONE
    return OnDisk.SAME if digest == sha256 else OnDisk.CHANGED


def trace_problem(load: Load | None, rows: str) -> str:
    """Why `rows` (a description) cannot be traced to a file; empty if they can."""
    if load is None:
        return f"No load brought {rows}: they were not written by the loader."
    if load.in_table != load.new_rows:
        added = f"Load {load.load_id} added {load.new_rows} rows of {rows}, and {load.in_table} are in the table"
        return f"{added}: others were not written by the loader, or were deleted."
    return ""
