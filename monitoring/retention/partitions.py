"""Partitions of the ledger, detached and made ahead."""

from typing import Any

import psycopg
from psycopg import sql

from asof.ledger.partitions import Partition

AHEAD = "SELECT ledger.make_partitions(now(), now() + interval '2 months')"

Connection = psycopg.Connection[Any]


def detach(connection: Connection, partition: Partition) -> None:
    """Readers and the shipper go on meanwhile; one that was interrupted is completed."""
    how = sql.SQL("FINALIZE" if partition.pending else "CONCURRENTLY")
    statement = sql.SQL("ALTER TABLE ledger.{} DETACH PARTITION ledger.{} {}")
    connection.execute(statement.format(sql.Identifier(partition.table), sql.Identifier(partition.name), how))


def make_ahead(connection: Connection) -> int:
    """Makes this month's and the next two, where they are absent; returns how many were."""
    (made,) = connection.execute(AHEAD).fetchone() or (0,)
    return int(made)
