"""The table `loads` -> the load that added a table's rows of given as_of and created_at, its source, and its state."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from training.data.extracts.files.data_files import file_digest
from training.data.snapshots.erased import tombstones
from training.data.snapshots.months.dropped import dropped_rows
from training.data.snapshots.owned_tables import table_exists, views
from training.data.snapshots.tables import Connection

LOADED_FILES = """
SELECT load_id, folder, as_of, known_at, loaded_at, code_version, split_part(name, '.', 1) AS "table",
       coalesce(facts ->> 'file', name) AS file, facts ->> 'sha256' AS sha256,
       (facts ->> 'rows')::bigint AS rows, (facts ->> 'new_rows')::bigint AS new_rows,
       facts ->> 'query' AS query, facts ->> 'server' AS server, facts ->> 'snapshot' AS snapshot
FROM public.loads, jsonb_each(files) AS each(name, facts) WHERE (facts ->> 'new_rows')::bigint > 0"""
COUNT_ERASED = "SELECT coalesce(sum((copies ->> %s)::bigint), 0)::bigint FROM public.erasures"
COUNT_ROWS = "SELECT count(*) FROM {} WHERE as_of = {} AND created_at = {}"


class OnDisk(StrEnum):
    """A loaded file as it is now, compared with the SHA-256 recorded at the load; `queried`: it was no file."""

    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"
    QUERIED = "queried"


@dataclass(frozen=True)
class Load:
    """One file or query of one load: it has `rows`, of which `new_rows` were added to the table.

    `known_at` is the `created_at` of these rows, `loaded_at` the real time of the load, both in UTC; `code_version` the
    commit that loaded them. `in_table` rows of these times are in the table now, and `erased` of them were erased; both
    together differ from `new_rows` only if rows were changed without the loader. `query`, `server` (without a password)
    and `snapshot` (of the server's transaction) are those of a query, whose `sha256` is that of its rows as CSV in the
    order of their keys.
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
    query: str | None
    server: str | None
    snapshot: str | None
    in_table: int
    erased: int
    on_disk: OnDisk


class Loads:
    """All loads that added rows, by table and times, which are unique for each table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loads: Mapping[tuple[str, datetime, datetime], dict[str, Any]] = {}
        if table_exists(connection, "public.loads"):
            with connection.cursor(row_factory=dict_row) as cursor:
                rows = cursor.execute(LOADED_FILES).fetchall()
            self._loads = {(row.pop("table"), row["as_of"], row["known_at"]): row for row in rows}
        self._in_place = views(connection)
        self._explained: dict[str, bool] = {}

    def of(self, table: str, as_of: datetime, created_at: datetime) -> Load | None:
        """The load that added the table's rows of these times; None if none is recorded."""
        if not (row := self._loads.get((table, as_of, created_at))):
            return None
        query = sql.SQL(COUNT_ROWS).format(sql.Identifier("public", table), sql.Literal(as_of), sql.Literal(created_at))
        (in_table,) = self._connection.execute(query).fetchone() or (0,)
        fields: dict[str, Any] = {
            name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in row.items()
        }
        file = None if row["query"] else Path(row["folder"]) / row["file"]
        missing = max(0, row["new_rows"] - in_table)
        erased = missing if missing and self._erasures_explain(table) else 0
        return Load(**fields, in_table=in_table, erased=erased, on_disk=compare(file, row["sha256"]))

    def _erasures_explain(self, table: str) -> bool:
        """Whether all rows that a table lacks of those that were loaded, and that retention has not dropped, are the
        ones that its tombstones count.
        """
        if table not in self._explained:
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("public", table))
            (here,) = self._connection.execute(query).fetchone() or (0,)
            loaded = sum(row["new_rows"] for (name, *_), row in self._loads.items() if name == table)
            missing = loaded - here - dropped_rows(self._connection, table)
            self._explained[table] = missing == self._erased(f"public.{table}")
        return self._explained[table]

    def _erased(self, place: str) -> int:
        if not table_exists(self._connection, tombstones.TABLE):
            return 0
        (count,) = self._connection.execute(COUNT_ERASED, (place,)).fetchone() or (0,)
        return int(count)

    def problem(self, table: str, load: Load | None, rows: str) -> str:
        """As `trace_problem`; a table that is used in place has no loads, as others write it."""
        return "" if table in self._in_place else trace_problem(load, rows)


def compare(path: Path | None, sha256: str) -> OnDisk:
    """Compares a file, or a folder of Parquet files, with its recorded digest; GONE if it cannot be read."""
    if path is None:
        return OnDisk.QUERIED
    try:
        digest = file_digest(path)
    except OSError:
        return OnDisk.GONE
    return OnDisk.SAME if digest == sha256 else OnDisk.CHANGED


def trace_problem(load: Load | None, rows: str) -> str:
    """Why `rows` (a description) cannot be traced to a file; empty if they can."""
    if load is None:
        return f"No load brought {rows}: they were not written by the loader."
    if load.in_table + load.erased != load.new_rows:
        added = f"Load {load.load_id} added {load.new_rows} rows of {rows}, and {load.in_table} are in the table"
        return f"{added}: others were not written by the loader, or were deleted."
    return ""
