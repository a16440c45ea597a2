"""The snapshot tables as they were known at a moment: a temporary schema of views with the tables' names."""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from asof.errors import TrainingSetError
from asof.extracts.schema import ExtractSchema
from asof.settings import Settings
from training.data.snapshots.owned_tables import require_own_tables
from training.data.snapshots.reading.replicas import replica_with
from training.data.snapshots.tables import LOAD_LOCK

PREFIX = "known_at_"


@dataclass(frozen=True)
class KnownTables:
    """A schema with one view for each snapshot table, and a connection whose search path begins with it.

    `server`: the settings of the server that is read.
    """

    schema: str
    connection: psycopg.Connection
    server: Settings


@contextlib.contextmanager
def tables_known_at(
    settings: Settings, extract: ExtractSchema, *, as_of: datetime, known_at: datetime, bulk: bool = False
) -> Iterator[KnownTables]:
    """Views of the rows with `created_at` up to `known_at` and `as_of` up to that moment; dropped after the block.

    Feast's `filter_by_created_timestamp` is no replacement: it compares created_at with the entity row's event
    timestamp, which is `as_of` here, and would hide every snapshot that arrived after the day that it describes.
    Waits for a running load, whose rows may be known before `known_at`, and drops the schemas of killed processes.
    With `bulk` they are read at a replica, if there is one that has them.
    Raises ConfigurationError if a table belongs to another use case or a read replica is none, TrainingSetError if a
    table is missing.
    """
    schema = f"{PREFIX}{uuid.uuid4().hex}"
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        require_own_tables(connection, extract)
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (schema,))
        connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (LOAD_LOCK,))
        _drop_abandoned(connection)
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        try:
            for table in (*extract.tables, extract.labels):
                _make_view(connection, schema, table.name, as_of=as_of, known_at=known_at)
            replicas = settings if bulk else settings.at_primary()
            last = sql.Identifier(schema, extract.labels.name).as_string(connection)
            with replica_with(replicas, connection, last) as (server, reading):
                reading.execute(sql.SQL("SET search_path = {}, public").format(sql.Identifier(schema)))
                yield KnownTables(schema, reading, server)
        finally:
            # Where an interruption has left a command unfinished, the next caller drops the schema.
            if connection.info.transaction_status is TransactionStatus.IDLE:
                _drop(connection, schema)


def _make_view(connection: psycopg.Connection, schema: str, table: str, *, as_of: datetime, known_at: datetime) -> None:
    view = sql.SQL("CREATE VIEW {} AS SELECT * FROM {} WHERE as_of <= {} AND created_at <= {}").format(
        sql.Identifier(schema, table), sql.Identifier("public", table), sql.Literal(as_of), sql.Literal(known_at)
    )
    try:
        connection.execute(view)
    except psycopg.errors.UndefinedTable:
        raise TrainingSetError(
            f"Database {connection.info.dbname} has no table public.{table}: load the use case's extracts with "
            "`python -m flows ingest`, or set ASOF_POSTGRES_URL to the database that has them."
        ) from None


def _drop_abandoned(connection: psycopg.Connection) -> None:
    """Drops our role's schemas whose advisory lock is free, so whose process has ended."""
    ours = "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s) AND pg_has_role(nspowner, 'USAGE')"
    rows = connection.execute(ours, (PREFIX,)).fetchall()
    for (schema,) in rows:
        held = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (schema,)).fetchone()
        if held and held[0]:
            _drop(connection, schema)
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (schema,))


def _drop(connection: psycopg.Connection, schema: str) -> None:
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
