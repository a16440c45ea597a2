"""Moves old months of answers and shadow scores to Parquet files: export, read back, detach, compare again, drop.

Interrupted anywhere, the next call completes it, whatever its moment: a file counts if its rows are those of the table,
and nothing is dropped without such a file.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg import sql
from pyarrow import ArrowException

from asof.errors import ConfigurationError
from asof.ledger.partitions import SHADOW_SCORES, Partition, partitions, table_of
from monitoring.retention.month_file import MonthFile, export_month, file_name, file_rows_sha256, rows_sha256
from monitoring.retention.partitions import Connection, detach, make_ahead

log = logging.getLogger("asof.progress")

LOCK = "SELECT pg_try_advisory_lock(hashtextextended('asof ledger keep', 0))"
COUNT = "SELECT count(*) FROM ledger.{}"
RECORD = """
INSERT INTO ledger.exports (partition, file, rows, file_sha256, rows_sha256) VALUES (%s, %s, %s, %s, %s)"""
PRUNE = "DELETE FROM ledger.segments WHERE updated_at < %s"


@dataclass(frozen=True)
class KeptMonth:
    """A month that was moved, or would be: then without a file. `rows_sha256` is that of `MonthFile`."""

    partition: str
    rows: int
    bytes: int
    file: str = ""
    file_sha256: str = ""
    rows_sha256: str = ""


@dataclass(frozen=True)
class Kept:
    """`made`: partitions made ahead; `segments`: records of shipped files that were deleted."""

    before: datetime
    folder: str
    months: tuple[KeptMonth, ...]
    made: int = 0
    segments: int = 0
    dry_run: bool = False


def keep_ledger(conninfo: str, folder: Path, before: datetime, *, dry_run: bool = False) -> Kept:
    """Moves the months that ended before a moment to files in the folder; `dry_run`: says which, and changes nothing.

    Months that an interrupted call has left are moved, too.

    The connection must be of the owner of the tables. Raises ConfigurationError where there is no ledger, another call
    is at work, a lock is not free within a minute, or the user may not do so; DataError as `export_month`.
    """
    with _connected(conninfo) as connection:
        old = [each for each in partitions(connection) if each.end <= before or each.hidden]
        if dry_run:
            months = tuple(KeptMonth(each.name, _count(connection, each), each.bytes) for each in old)
            return Kept(before, str(folder), _shown(months), dry_run=True)
        made = make_ahead(connection)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        moved = tuple(_move(connection, each, folder) for each in old)
        segments = connection.execute(PRUNE, [before]).rowcount
        return Kept(before, str(folder), _shown(moved), made, segments)


def _shown(months: Sequence[KeptMonth]) -> tuple[KeptMonth, ...]:
    """Without months in which no challenger scored anything, as is usual."""
    return tuple(each for each in months if each.rows or table_of(each.partition) != SHADOW_SCORES)


def _move(connection: Connection, partition: Partition, folder: Path) -> KeptMonth:
    log.info("%s", partition.name)
    first = _exported(connection, partition, folder) if partition.attached and not partition.pending else None
    if partition.attached:
        detach(connection, partition)
    last = _exported(connection, partition, folder)  # rows that were shipped meanwhile are in another file
    if first and last and first.path != last.path:
        first.path.unlink()
    month = KeptMonth(partition.name, 0, partition.bytes)
    if last:
        month = KeptMonth(
            partition.name, last.rows, partition.bytes, str(last.path.resolve()), last.sha256, last.rows_sha256
        )
    _drop(connection, month)
    return month


def _exported(connection: Connection, partition: Partition, folder: Path) -> MonthFile | None:
    """A file with the partition's rows, one that is there or a new one; None where it has no rows."""
    rows = _count(connection, partition)
    if not rows:
        return None
    if any(folder.glob(f"{partition.name}-*.parquet")):
        digest = rows_sha256(connection, partition.name)
        path = file_name(folder, partition.name, digest)
        if path.is_file() and _has_rows(path, digest):
            return MonthFile(path, rows, digest)
    return export_month(connection, partition.name, folder)


def _has_rows(path: Path, digest: str) -> bool:
    """Whether a file that an interrupted call has left is whole and has these rows."""
    try:
        return file_rows_sha256(path) == digest
    except (OSError, ArrowException):
        return False


def _drop(connection: Connection, month: KeptMonth) -> None:
    """Records the file and drops the table, in one transaction."""
    with connection.transaction():
        if month.file:
            values = [month.partition, month.file, month.rows, month.file_sha256, month.rows_sha256]
            connection.execute(RECORD, values)
        connection.execute(sql.SQL("DROP TABLE ledger.{}").format(sql.Identifier(month.partition)))


def _count(connection: Connection, partition: Partition) -> int:
    (count,) = connection.execute(sql.SQL(COUNT).format(sql.Identifier(partition.name))).fetchone() or (0,)
    return int(count)


def _require(connection: Connection) -> None:
    if connection.execute("SELECT to_regclass('ledger.exports') IS NULL").fetchone() == (True,):
        raise ConfigurationError(
            f"Database {connection.info.dbname} has no ledger: start a service that keeps its answers, or run "
            "`python -m flows databases`."
        )
    if connection.execute(LOCK).fetchone() != (True,):
        raise ConfigurationError("Another `flows ledger keep` is at work: wait until it has ended.")


@contextmanager
def _connected(conninfo: str) -> Iterator[Connection]:
    """A session with the lock, whose errors are explained."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '60s'")
        try:
            _require(connection)
            yield connection
        except psycopg.errors.InsufficientPrivilege as refusal:
            raise ConfigurationError(
                f"User {connection.info.user} does not own the ledger ({refusal.diag.message_primary}): set "
                "ASOF_ADMIN_POSTGRES_URL as for `python -m flows databases`."
            ) from None
        except psycopg.errors.LockNotAvailable:
            raise ConfigurationError(
                "Another session has used a month of the ledger for a minute: run the command again, what is done is "
                "kept."
            ) from None
