"""The PostgreSQL servers of one load's queries: a read-only transaction on each, so that its rows are of one moment."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg.rows import TupleRow

from asof.errors import SourceError
from asof.settings import Settings

FIRST_LOOK = """
SELECT txid_current_snapshot()::text, pg_is_in_recovery(), pg_last_xact_replay_timestamp(), current_database()"""


@dataclass(frozen=True)
class Server:
    """A connection within its transaction; `address` has no password, `snapshot` is that of the transaction.

    `replayed`: up to when a replica has replayed its primary (None: no replica); UTC.
    """

    name: str
    connection: psycopg.Connection[TupleRow]
    address: str
    snapshot: str
    replayed: datetime | None


@contextmanager
def open_servers(settings: Settings, names: Collection[str]) -> Iterator[dict[str, Server]]:
    """The servers by name, each in a REPEATABLE READ READ ONLY transaction that has its snapshot.

    Raises SourceError where one does not answer, ConfigurationError where its URL is not set.
    """
    with ExitStack() as connections:
        yield {name: _open(connections, settings.source_conninfo(name), name) for name in sorted(names)}


def described_moment(servers: Collection[Server]) -> datetime:
    """The moment that the tables describe now: the present, or that up to which the slowest replica has replayed."""
    return min([datetime.now(UTC), *(each.replayed for each in servers if each.replayed)])


def require_replayed(servers: Collection[Server], moment: datetime) -> None:
    """Raises SourceError where a replica has not yet seen all that had happened by a moment."""
    for each in servers:
        if each.replayed and each.replayed < moment:
            raise SourceError(
                f"Server {each.name!r} ({each.address}) is a replica that has replayed up to {each.replayed:%F %T}, "
                f"not up to {moment:%F %T} UTC: wait until it has, or read the primary. Nothing was loaded."
            )


def _open(connections: ExitStack, conninfo: str, name: str) -> Server:
    try:
        connection = connections.enter_context(psycopg.connect(conninfo))
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        row = connection.execute(FIRST_LOOK).fetchone()
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise SourceError(
            f"Server {name!r} of the queries does not answer: {reason}. Check its URL and that it runs; nothing was "
            "loaded."
        ) from None
    snapshot, replica, replayed, database = row or ("", False, None, "")
    if replica and replayed is None:
        raise SourceError(
            f"Server {name!r} of the queries is a replica that has replayed nothing since it started: wait for its "
            "primary, or read that. Nothing was loaded."
        )
    address = f"{connection.info.host}:{connection.info.port}/{database}"
    return Server(name, connection, address, snapshot, replayed.astimezone(UTC) if replica else None)
