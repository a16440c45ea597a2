"""An extract's folder -> dated rows in PostgreSQL (Snapshot).

A folder holds the schema's CSV files, with or without the labels, or the labels alone (a label delivery). Its rows go
to append-only tables: `as_of` is the moment that they describe, `created_at` the load's `known_at`.

A file is skipped if its bytes are those last loaded from this path or, for a path not loaded before, under this name of
a delivery. From any other file only the rows are added that differ from the newest known version of (entity, as_of): a
changed file adds corrections, even if it restores older values. An entity that a redelivery leaves out keeps its rows.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow as arrow
from psycopg import sql
from psycopg.types.json import Jsonb

from asof.errors import ExtractError, HistoryError
from asof.extract_schema import ExtractSchema
from asof.settings import Settings
from training.data.extracts.deliveries import Part, delivery_name
from training.data.extracts.extract import DeliveredTable, read_extract, tables_of
from training.data.extracts.known_ids import KnownIds
from training.data.snapshots.append import Times, append
from training.data.snapshots.owned_tables import table_exists
from training.data.snapshots.provenance import code_version
from training.data.snapshots.tables import Connection, create_tables, load_transaction

LOADED_FILES = """
SELECT folder, file, facts ->> 'sha256', known_at, (facts ->> 'rows')::bigint
FROM public.loads, jsonb_each(files) AS each(file, facts) WHERE as_of = %s
ORDER BY load_id"""

ANY_LOAD = "SELECT FROM public.loads LIMIT 1"


@dataclass(frozen=True)
class Snapshot:
    """One load: the rows read and added for each table, and the SHA-256 of each file.

    `load_id` is its row in the table `loads`; None if every file was skipped.
    """

    as_of: datetime
    known_at: datetime
    rows: Mapping[str, int]
    new_rows: Mapping[str, int]
    files: Mapping[str, str]
    load_id: int | None


def take_snapshot(
    settings: Settings,
    schema: ExtractSchema,
    folder: Path,
    *,
    as_of: datetime,
    known_at: datetime | None = None,
    part: Part = Part.WHOLE,
) -> Snapshot:
    """Validates a part of the extract in `folder` and loads it in one transaction, serialised with other loads.

    `known_at` defaults to the present; for a backfill it may equal `as_of`. An unchanged file adds nothing, even if
    another delivery has corrected it since. Raises ExtractError if the files break a rule, HistoryError if the load
    would change what was known at some moment, ConfigurationError if the tables are not the schema's.
    """
    with load_transaction(settings) as connection:
        # The present is read within the lock, so that a later load is never known earlier.
        times = _times(as_of, known_at)
        create_tables(connection, schema)
        if unchanged := _unchanged(connection, schema, folder, times, part):
            return unchanged
        delivery = read_extract(folder, schema, lambda: _stored_ids(connection, schema, times), part)
        # Without statistics of the new rows the planner picks nested loops: hours instead of seconds.
        connection.execute("SET LOCAL enable_nestloop = off")
        changed = _changed(connection, folder, times, delivery)
        added = {each.table.name: append(connection, each.table, each.rows, times) for each in changed}
        snapshot = Snapshot(
            as_of=times.as_of,
            known_at=times.known_at,
            rows={each.table.name: each.rows.num_rows for each in delivery},
            new_rows={each.table.name: added.get(each.table.name, 0) for each in delivery},
            files={each.file: each.sha256 for each in delivery},
            load_id=None,
        )
        return _record(connection, snapshot, folder) if changed else snapshot


def anything_loaded(settings: Settings) -> bool:
    """Whether the table `loads` exists and has a row."""
    with psycopg.connect(settings.conninfo()) as connection:
        return table_exists(connection, "public.loads") and connection.execute(ANY_LOAD).fetchone() is not None


def _times(as_of: datetime, known_at: datetime | None) -> Times:
    now = datetime.now(UTC)
    known_at = known_at or now
    for name, moment in {"as_of": as_of, "known_at": known_at}.items():
        if moment.tzinfo is None:
            raise HistoryError(f"{name} {moment.isoformat()} has no time zone: give one, such as UTC.")
    if known_at > now:
        raise HistoryError(f"known_at {known_at.isoformat()} lies in the future: give the moment of the delivery.")
    if known_at < as_of:
        raise HistoryError(
            f"known_at {known_at.isoformat()} lies before as_of {as_of.isoformat()}: give the moment of the delivery, "
            "or an earlier as_of."
        )
    return Times(as_of.astimezone(UTC), known_at.astimezone(UTC))


def _stored_ids(connection: Connection, schema: ExtractSchema, times: Times) -> KnownIds:
    """The ids of the known entities of that moment, which a label delivery may refer to."""
    query = sql.SQL("SELECT DISTINCT {} FROM {} WHERE as_of = %s AND created_at <= %s").format(
        sql.Identifier(schema.entity), sql.Identifier("public", schema.entity_table)
    )
    ids = [row[0] for row in connection.execute(query, (times.as_of, times.known_at))]
    where = f"as of {times.as_of.isoformat()}, known at {times.known_at.isoformat()}"
    if not ids:
        raise ExtractError(
            [f"{schema.labels.name}.csv: table {schema.entity_table} has no rows {where}: load them first"]
        )
    return KnownIds(
        arrow.chunked_array([arrow.array(ids)]), f"a {schema.entity} of table {schema.entity_table} {where}"
    )


def _changed(
    connection: Connection, folder: Path, times: Times, delivery: Sequence[DeliveredTable]
) -> list[DeliveredTable]:
    """The files that differ from those last loaded. Raises HistoryError if one would be older than what it corrects."""
    last = _loaded_last(connection, folder, times)
    changed = [each for each in delivery if each.file not in last or last[each.file].sha256 != each.sha256]
    for each in changed:
        if each.file in last and (newer := last[each.file].known_at.astimezone(UTC)) > times.known_at:
            raise HistoryError(
                f"{folder / each.file} has changed since it was loaded as known at {newer.isoformat()}, which is after "
                f"{times.known_at.isoformat()}. Load it as known now (without --backfill); nothing was loaded."
            )
    return changed


def _unchanged(
    connection: Connection, schema: ExtractSchema, folder: Path, times: Times, part: Part
) -> Snapshot | None:
    """The snapshot of a delivery whose files were all loaded, and so validated, before; None if one is new."""
    last = _loaded_last(connection, folder, times)
    files = {f"{table.name}.csv": table.name for table in tables_of(folder, schema, part)}
    if not all(file in last and last[file].sha256 == _sha256(folder / file) for file in files):
        return None
    rows = {table: last[file].rows for file, table in files.items()}
    digests = {file: last[file].sha256 for file in files}
    return Snapshot(times.as_of, times.known_at, rows, dict.fromkeys(rows, 0), digests, load_id=None)


def _sha256(file: Path) -> str:
    """Empty where the file cannot be read: `read_extract` says why."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return ""


@dataclass(frozen=True)
class _LoadedFile:
    sha256: str
    known_at: datetime
    rows: int


def _loaded_last(connection: Connection, folder: Path, times: Times) -> dict[str, _LoadedFile]:
    """By file: as last loaded from this path, or else under this delivery's name."""
    path, name = _path(folder), delivery_name(Path(_path(folder)))
    by_path: dict[str, _LoadedFile] = {}
    by_name: dict[str, _LoadedFile] = {}
    for loaded, file, *facts in connection.execute(LOADED_FILES, (times.as_of,)):
        if loaded == path:
            by_path[file] = _LoadedFile(*facts)
        if delivery_name(Path(loaded)) == name:
            by_name[file] = _LoadedFile(*facts)
    return by_name | by_path


def _path(folder: Path) -> str:
    """The absolute path of a delivery; a link keeps its own name, whatever it points to today."""
    return os.path.abspath(folder)  # noqa: PTH100 - `resolve` follows links


def _record(connection: Connection, snapshot: Snapshot, folder: Path) -> Snapshot:
    files = {
        file: {"sha256": sha256, "rows": snapshot.rows[table], "new_rows": snapshot.new_rows[table]}
        for table, (file, sha256) in zip(snapshot.rows, snapshot.files.items(), strict=True)
    }
    cursor = connection.execute(
        "INSERT INTO public.loads (folder, as_of, known_at, code_version, files) "
        "VALUES (%s, %s, %s, %s, %s) RETURNING load_id",
        (_path(folder), snapshot.as_of, snapshot.known_at, str(code_version()), Jsonb(files)),
    )
    return replace(snapshot, load_id=next(cursor)[0])
