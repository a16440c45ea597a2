"""Read replicas of our PostgreSQL (ASOF_POSTGRES_READ_URLS): what a server says of itself, and whether it is ours."""

from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from asof.errors import ConfigurationError
from asof.settings import Settings

STATE = """
SELECT current_database() AS database, pg_is_in_recovery() AS in_recovery, system_identifier AS system,
    greatest(checkpoint.timeline_id, recovery.min_recovery_end_timeline) AS timeline,
    coalesce(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END
        - '0/0'::pg_lsn, 0)::bigint AS position
FROM pg_control_system(), pg_control_checkpoint() AS checkpoint, pg_control_recovery() AS recovery"""
"""Any role may ask for it."""


@dataclass(frozen=True)
class ServerState:
    """`position`: the byte of the write-ahead log up to which a primary has flushed, or a replica has replayed."""

    database: str
    in_recovery: bool
    system: int
    timeline: int
    position: int


def server_state(connection: Connection[Any]) -> ServerState:
    """That of the server of a connection."""
    with connection.cursor(row_factory=class_row(ServerState)) as cursor:
        (state,) = cursor.execute(STATE)
    return state


def server_name(settings: Settings) -> str:
    """host:port/database."""
    url = settings.database()
    return f"{url.host}:{url.port or 5432}/{url.database}"


def require_replica(name: str, found: ServerState, primary: ServerState) -> None:
    """Raises ConfigurationError where a server is not a streaming replica of the primary.

    After a failover, a replica that follows may show its new timeline only at its next restartpoint.
    """
    if primary.in_recovery:
        raise ConfigurationError("ASOF_POSTGRES_URL names a replica: set it to the primary.")
    if trouble := _trouble(found, primary):
        raise ConfigurationError(
            f"{name} of ASOF_POSTGRES_READ_URLS {trouble}. Name streaming replicas of ASOF_POSTGRES_URL only."
        )


def _trouble(found: ServerState, primary: ServerState) -> str:
    if not found.in_recovery:
        return "is not a replica: it accepts writes"
    if found.system != primary.system:
        return f"is a replica of another PostgreSQL (system identifier {found.system}, the primary's {primary.system})"
    if found.timeline != primary.timeline:
        return f"is on timeline {found.timeline}, and the primary on {primary.timeline}: it did not follow a failover"
    if found.database != primary.database:
        return f"is database {found.database!r}, and the primary's is {primary.database!r}"
    return ""
