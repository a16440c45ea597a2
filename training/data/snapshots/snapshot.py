"""An extract's folder, or the queries of its tables -> dated rows in PostgreSQL (Snapshot).

A folder holds the schema's data files, with or without the labels, or the labels alone (a label delivery). The rows go
to append-only tables: `as_of` is the moment that they describe, `created_at` the load's `known_at`.

A file is skipped if its bytes are those last loaded from this path or, for a path not loaded before, under this name of
a delivery; a query, if its rows are those that it gave last for this `as_of`. From any other only the rows are added
that differ from the newest known version of (keys..., as_of): a changed file adds corrections, even if it restores
older values. An entity that a redelivery leaves out keeps its rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as arrow
from psycopg import sql

from asof.errors import ExtractError, HistoryError
from asof.extracts.schema import ExtractSchema, RawTable
from asof.settings import Settings
from training.data.extracts.deliveries import Part
from training.data.extracts.extract import DeliveredTable, files_to_read, read_extract
from training.data.extracts.files.data_files import file_digest, file_of
from training.data.extracts.known_ids import KnownIds, row_ids
from training.data.snapshots.append import Times, append, staging
from training.data.snapshots.erased.left_out import Erased, erased_before
from training.data.snapshots.loads import loaded_last, record_load
from training.data.snapshots.queries.loading import (
    entities_query,
    queried_tables,
    require_known_ids,
    stage_queries,
)
from training.data.snapshots.queries.reading import QueriedTable
from training.data.snapshots.queries.servers import described_moment, open_servers, require_replayed
from training.data.snapshots.tables import Connection, create_tables, load_transaction


@dataclass(frozen=True)
class Snapshot:
    """One load: the rows read and added for each table, and the SHA-256 of each file.

    `load_id` is its row in the table `loads`; None if every file was skipped. `left_out` counts the rows of erased
    entities by table.
    """

    as_of: datetime
    known_at: datetime
    rows: Mapping[str, int]
    new_rows: Mapping[str, int]
    files: Mapping[str, str]
    load_id: int | None
    left_out: Mapping[str, int] = field(default_factory=dict)


def take_snapshot(
    settings: Settings,
    schema: ExtractSchema,
    folder: Path | None,
    *,
    as_of: datetime | None,
    known_at: datetime | None = None,
    part: Part = Part.WHOLE,
) -> Snapshot:
    """Validates a part of the extract in `folder`, and of the tables that are queried, and loads it in one transaction,
    serialised with other loads. All queries to one server are one transaction there, too.

    `as_of` may be None where all tables are queried: then it is the moment at which they are read. `known_at` defaults
    to the present; for a backfill it may equal `as_of`. An unchanged source adds nothing, even if another delivery has
    corrected it since. Rows of entities that were erased since `as_of` are left out.
    Raises ExtractError if rows break a rule, SourceError if a server or query fails, HistoryError
    if the load would change what was known at some moment, ConfigurationError if the tables are not the schema's.
    """
    _times(as_of or datetime.now(UTC), known_at)  # before anything is read
    queried = queried_tables(schema, folder, part, as_of, known_at)
    with load_transaction(settings) as connection:
        create_tables(connection, schema)
        if as_of and folder and not queried:
            times = _times(as_of, known_at)
            if unchanged := _unchanged(connection, schema, folder, times, part):
                return unchanged
        # Without statistics of the new rows the planner picks nested loops: hours instead of seconds.
        connection.execute("SET LOCAL enable_nestloop = off")
        with open_servers(settings, {source.server for _, source in queried}) as servers:
            # The present is read within the lock, so that a later load is never known earlier; and after the servers'
            # snapshots, so that nothing happens between a moment and the rows that describe it.
            times = _times(as_of or described_moment(servers.values()), known_at)
            require_replayed(servers.values(), times.as_of)
            tables = stage_queries(connection, servers, [table for table, _ in queried], times)
        erased = erased_before(settings, connection, schema, times.as_of)
        return _Load(connection, schema, folder, times, erased).add([_queried(each) for each in tables], part)


@dataclass(frozen=True)
class _Load:
    """A load whose queries have been read."""

    connection: Connection
    schema: ExtractSchema
    folder: Path | None
    times: Times
    erased: Erased

    def add(self, queried: list["_Read"], part: Part) -> Snapshot:
        """Reads the files, and adds the rows of both that differ from what is known."""
        read = [*queried, *self._files(queried, part)]
        changed = _changed(self.connection, self.folder, self.times, read)
        staged = [each for each in read if each in changed or (queried and _has_entities(each, self.schema))]
        _stage(self.connection, staged)
        in_staging = {each.table.name: each.table for each in (*queried, *staged)}
        left_out = self.erased.remove(self.connection, in_staging.values())
        tables = [each.table for each in queried]
        require_known_ids(self.connection, self.schema, tables, [each.table for each in read], self.times)
        added = {each.table.name: append(self.connection, each.table, self.times) for each in changed}
        snapshot = Snapshot(
            as_of=self.times.as_of,
            known_at=self.times.known_at,
            rows={each.table.name: each.rows for each in read},
            new_rows={each.table.name: added.get(each.table.name, 0) for each in read},
            files={each.record: each.sha256 for each in read},
            load_id=None,
            left_out=left_out,
        )
        if not changed:
            return snapshot
        load_id = record_load(self.connection, self.folder, self.times, _facts(snapshot, read))
        return replace(snapshot, load_id=load_id)

    def _files(self, queried: Sequence["_Read"], part: Part) -> list["_Read"]:
        if self.folder is None:
            return []
        files = read_extract(self.folder, self.schema, lambda: self._stored_ids(queried), part)
        return [_delivered(each) for each in files]

    def _stored_ids(self, queried: Sequence["_Read"]) -> KnownIds:
        known = _stored_ids(self.connection, self.schema, self.times, queried)
        return replace(known, erased=self.erased.knows(self.schema.keys))


@dataclass(frozen=True)
class _Read:
    """A table that was read, with what is recorded of its source; `cells` are a file's rows, to be staged."""

    table: RawTable
    file: str
    rows: int
    sha256: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    cells: arrow.Table | None = field(default=None, compare=False)

    @property
    def record(self) -> str:
        """How the table `loads` names it: the table's name, with the ending of its file."""
        return _record_name(self.table, self.file)


def _record_name(table: RawTable, file: str) -> str:
    return f"{table.name}{file.removeprefix(table.stem)}"


def _queried(read: QueriedTable) -> _Read:
    return _Read(read.table, read.table.file, read.rows, read.sha256, read.facts)


def _delivered(read: DeliveredTable) -> _Read:
    return _Read(read.table, read.file, read.rows.num_rows, read.sha256, cells=read.rows)


def _has_entities(read: _Read, schema: ExtractSchema) -> bool:
    return read.table.name == schema.entity_table


def _stage(connection: Connection, read: Iterable[_Read]) -> None:
    """Those of files; those of queries are staged while they are read."""
    for each in read:
        if each.cells is not None:
            with staging(connection, each.table) as add:
                add(each.cells)


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


def _stored_ids(connection: Connection, schema: ExtractSchema, times: Times, read: Sequence[_Read]) -> KnownIds:
    """The ids that a file may refer to which comes without the entities' file: those that this load has read by a
    query, or else the known entities of that moment.
    """
    entities = entities_query(schema, times, staged=any(_has_entities(each, schema) for each in read))
    texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(key)) for key in schema.keys)
    ids = connection.execute(sql.SQL("SELECT {} FROM ({}) AS known").format(texts, entities)).fetchall()
    where = f"as of {times.as_of.isoformat()}, known at {times.known_at.isoformat()}"
    if not ids:
        raise ExtractError([f"{schema.labels.file}: table {schema.entity_table} has no rows {where}: load them first"])
    rows = arrow.table(dict(zip(schema.keys, map(list, zip(*ids, strict=True)), strict=True)))
    what = f"a {' and '.join(schema.keys)} of table {schema.entity_table} {where}"
    return KnownIds(row_ids(rows, schema.labels), what)


def _changed(connection: Connection, folder: Path | None, times: Times, read: Sequence[_Read]) -> list[_Read]:
    """The sources that differ from those last loaded.

    Raises HistoryError if one would be older than what it corrects.
    """
    last = loaded_last(connection, folder, times)
    changed = [each for each in read if each.table.name not in last or last[each.table.name].sha256 != each.sha256]
    for each in changed:
        name = each.table.name
        if name in last and (newer := last[name].known_at.astimezone(UTC)) > times.known_at:
            raise HistoryError(
                f"{folder / each.file if folder else each.file} has changed since it was loaded as known at "
                f"{newer.isoformat()}, which is after {times.known_at.isoformat()}. Load it as known now (without "
                "--backfill); nothing was loaded."
            )
    return changed


def _unchanged(
    connection: Connection, schema: ExtractSchema, folder: Path, times: Times, part: Part
) -> Snapshot | None:
    """The snapshot of a delivery whose files were all loaded, and so validated, before; None if one is new."""
    last = loaded_last(connection, folder, times)
    files = {table: file_of(folder, table) for table in files_to_read(folder, schema, part)}
    if not all(table.name in last and last[table.name].sha256 == _sha256(file) for table, file in files.items()):
        return None
    rows = {table.name: last[table.name].rows for table in files}
    digests = {_record_name(table, file.name): last[table.name].sha256 for table, file in files.items()}
    return Snapshot(times.as_of, times.known_at, rows, dict.fromkeys(rows, 0), digests, load_id=None)


def _sha256(file: Path) -> str:
    """Empty where it cannot be read: `read_extract` says why."""
    try:
        return file_digest(file)
    except OSError:
        return ""


def _facts(snapshot: Snapshot, read: Sequence[_Read]) -> dict[str, dict[str, Any]]:
    """What the table `loads` records of each file or query."""
    return {
        each.record: {
            "sha256": each.sha256,
            "rows": each.rows,
            "new_rows": snapshot.new_rows[each.table.name],
            **({} if each.record == each.file else {"file": each.file}),
            **each.facts,
        }
        for each in read
    }
