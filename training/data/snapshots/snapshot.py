"""extract -> dated rows in PostgreSQL (Snapshot).

In comes a folder: the schema's CSV files, with the labels or without, or the labels alone (a label delivery). Out come
rows in append-only tables: `as_of` is the moment that they describe, `created_at` the load's `known_at`. A file that is
what was loaded last from its place is not loaded again; nor is one from a place that is new, as where the extracts were
moved, if it is what was loaded last under its delivery's name. Of any other only what differs from the newest known
version of (entity, as_of) is added: a changed file adds corrections, and so does one that brings older values back. A
user whom a redelivery leaves out is kept: absence is no value, and nothing is taken back.
"""

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
from training.data.extracts.extract import DeliveredTable, read_extract
from training.data.extracts.validation import KnownIds
from training.data.snapshots.append import Times, append
from training.data.snapshots.provenance import code_version
from training.data.snapshots.tables import Connection, create_tables, prepare_tables, turn

__all__ = ["Snapshot", "prepare_tables", "take_snapshot"]

LOADED = """
SELECT folder, file, facts ->> 'sha256', known_at
FROM public.loads, jsonb_each(files) AS each(file, facts) WHERE as_of = %s
ORDER BY load_id"""


@dataclass(frozen=True)
class Snapshot:
    """What one load did: rows read and rows added for each table, the SHA-256 of each file.

    `load_id` is its row in the table `loads`; None where each file was what was loaded last.
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
    """Checks a part of the extract in `folder` and loads it, entirely or not at all, in one transaction; loads take
    turns.

    `known_at` is the real now unless given; for a backfill it is given, and may equal `as_of`. A file that has the
    bytes that were loaded last, from its place or under its name, adds nothing, even where another delivery has
    corrected it since. Raises ExtractError where the files break a rule, HistoryError where the load would change what
    was known at some moment or could not count, and ConfigurationError where the tables are not the schema's.
    """
    with turn(settings) as connection:
        # Now is taken in our turn: so a later load is never known earlier.
        times = _times(as_of, known_at)
        create_tables(connection, schema)
        delivery = read_extract(folder, schema, lambda: _stored_ids(connection, schema, times), part)
        # The planner joins new rows, of which it has no statistics, in nested loops: hours instead of seconds.
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
        return _recorded(connection, snapshot, folder) if changed else snapshot


def anything_loaded(settings: Settings) -> bool:
    """Whether the table `loads` is there and has a row."""
    with psycopg.connect(settings.conninfo()) as connection:
        if connection.execute("SELECT to_regclass('public.loads')").fetchone() == (None,):
            return False
        return connection.execute("SELECT EXISTS (SELECT FROM public.loads)").fetchone() == (True,)


def _times(as_of: datetime, known_at: datetime | None) -> Times:
    now = datetime.now(UTC)
    known_at = known_at or now
    for name, moment in {"as_of": as_of, "known_at": known_at}.items():
        if moment.tzinfo is None:
            raise HistoryError(f"{name} {moment.isoformat()} has no time zone: give one, UTC for example.")
    if known_at > now:
        raise HistoryError(f"known_at {known_at.isoformat()} lies in the future: give the moment of the delivery.")
    if known_at < as_of:
        raise HistoryError(
            f"known_at {known_at.isoformat()} lies before as_of {as_of.isoformat()}: a state cannot be known before "
            "it is there. Give the moment of the delivery, or a smaller as_of."
        )
    return Times(as_of.astimezone(UTC), known_at.astimezone(UTC))


def _stored_ids(connection: Connection, schema: ExtractSchema, times: Times) -> KnownIds:
    """The entities known of that moment: those that a label delivery may name."""
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
    """The files that are not what was loaded last. Raises HistoryError where one could not count."""
    last = _loaded_last(connection, folder, times)
    changed = [each for each in delivery if each.file not in last or last[each.file][0] != each.sha256]
    for each in changed:
        if each.file in last and (newer := last[each.file][1].astimezone(UTC)) > times.known_at:
            raise HistoryError(
                f"{folder / each.file} has changed, was loaded last as known at {newer.isoformat()}, and would now "
                f"count as known before that, at {times.known_at.isoformat()}: load it as known now (without "
                "--backfill). Nothing was loaded."
            )
    return changed


def _loaded_last(connection: Connection, folder: Path, times: Times) -> dict[str, tuple[str, datetime]]:
    """Of each file its SHA-256 and known_at: of its place, or else of its delivery's name, wherever that was found."""
    place, name = _place(folder), delivery_name(Path(_place(folder)))
    here: dict[str, tuple[str, datetime]] = {}
    anywhere: dict[str, tuple[str, datetime]] = {}
    for found, file, sha256, known_at in connection.execute(LOADED, (times.as_of,)):
        if found == place:
            here[file] = sha256, known_at
        if delivery_name(Path(found)) == name:
            anywhere[file] = sha256, known_at
    return anywhere | here


def _place(folder: Path) -> str:
    """A delivery's name: where it is found, and not what a link there points to today."""
    return os.path.abspath(folder)  # noqa: PTH100 - `resolve` follows links


def _recorded(connection: Connection, snapshot: Snapshot, folder: Path) -> Snapshot:
    files = {
        file: {"sha256": sha256, "rows": snapshot.rows[table], "new_rows": snapshot.new_rows[table]}
        for table, (file, sha256) in zip(snapshot.rows, snapshot.files.items(), strict=True)
    }
    cursor = connection.execute(
        "INSERT INTO public.loads (folder, as_of, known_at, code_version, files) "
        "VALUES (%s, %s, %s, %s, %s) RETURNING load_id",
        (_place(folder), snapshot.as_of, snapshot.known_at, str(code_version()), Jsonb(files)),
    )
    return replace(snapshot, load_id=next(cursor)[0])
