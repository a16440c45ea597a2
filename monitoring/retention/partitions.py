"""The monthly partitions of `ledger.predictions` and `ledger.shadow_scores`, those that were detached among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

PARTITIONS = """
SELECT relname, inhrelid IS NOT NULL, coalesce(inhdetachpending, false), pg_total_relation_size(pg_class.oid)
FROM pg_class JOIN pg_namespace schema ON schema.oid = relnamespace LEFT JOIN pg_inherits ON inhrelid = pg_class.oid
WHERE nspname = 'ledger' AND relkind = 'r' AND relname ~ '^(predictions|shadow_scores)_[0-9]{4}_[0-9]{2}$'
ORDER BY relname"""
AHEAD = "SELECT ledger.make_partitions(now(), now() + interval '2 months')"

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Partition:
    """`pending`: a detachment was begun and not completed; readers of the whole table do not see the table any more."""

    name: str
    attached: bool
    pending: bool
    bytes: int

    @property
    def table(self) -> str:
        """The whole table."""
        return table_of(self.name)

    @property
    def end(self) -> datetime:
        """The moment after its month."""
        first = datetime.strptime(self.name.removeprefix(f"{self.table}_"), "%Y_%m").replace(tzinfo=UTC)
        return (first + timedelta(days=31)).replace(day=1)


def table_of(partition: str) -> str:
    """The table of a partition: its name without the month."""
    return partition[: -len("_YYYY_MM")]


def partitions(connection: Connection) -> Sequence[Partition]:
    """Oldest first."""
    return [Partition(*row) for row in connection.execute(PARTITIONS)]


def detach(connection: Connection, partition: Partition) -> None:
    """Readers and the shipper go on meanwhile; one that was interrupted is completed."""
    how = sql.SQL("FINALIZE" if partition.pending else "CONCURRENTLY")
    statement = sql.SQL("ALTER TABLE ledger.{} DETACH PARTITION ledger.{} {}")
    connection.execute(statement.format(sql.Identifier(partition.table), sql.Identifier(partition.name), how))


def make_ahead(connection: Connection) -> int:
    """Makes this month's and the next two, where they are absent; returns how many were."""
    (made,) = connection.execute(AHEAD).fetchone() or (0,)
    return int(made)
