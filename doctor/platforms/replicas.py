"""Checks of the read replicas that are set."""

from collections.abc import Iterator

import psycopg

from asof.errors import ConfigurationError
from asof.replicas import require_replica, server_name, server_state
from asof.settings import Settings
from doctor.context import Context
from doctor.finding import Finding, error, note, warning
from doctor.platforms.database import read_only


def check_replicas(context: Context) -> Iterator[Finding]:
    """Whether each answers, is a replica of our PostgreSQL, and keeps the rows that a long read needs."""
    try:
        for replica in context.settings.replicas():
            yield from _check(context.settings, replica, server_name(replica))
    except ConfigurationError as wrong:
        yield error("replicas", str(wrong), "Correct ASOF_POSTGRES_READ_URLS.")


def _check(settings: Settings, replica: Settings, name: str) -> Iterator[Finding]:
    try:
        with read_only(replica) as connection, read_only(settings) as primary:
            require_replica(name, server_state(connection), server_state(primary))
            feedback = connection.execute("SHOW hot_standby_feedback").fetchone()
    except psycopg.OperationalError as wrong:
        reason = str(wrong).splitlines()[0].removeprefix("connection failed: ")
        yield warning(f"replica:{name}", f"Replica {name} is not read: {reason}.", "Start it, or correct its URL.")
    except ConfigurationError as wrong:
        yield error(f"replica:{name}", str(wrong), "Correct ASOF_POSTGRES_READ_URLS.")
    else:
        if feedback == ("off",):
            found = f"Replica {name} has hot_standby_feedback off: it may cancel a long read, which begins again."
            yield note(f"replica:{name}", found, "ALTER SYSTEM SET hot_standby_feedback = on; SELECT pg_reload_conf()")
