"""PostgreSQL advisory locks on what is in Production of a model; a lock ends with the process that holds it.

A promotion holds PROMOTION from start to end, so that a second one fails before its gate runs for minutes. CHANGE is
held only while history and registry change: a rollback never waits for a gate.
"""

from enum import StrEnum

from psycopg import errors

from asof.errors import ModelError
from training.release.promotion.history import Connection

LOCK_TIMEOUT = "1s"
"""Longer than a change takes, and than the server needs to notice that a killed process is gone."""

KEY = "hashtextextended('asof ' || %s || ' of ' || %s, 0)"


class Lock(StrEnum):
    """What one process does at a time."""

    PROMOTION = "promotion"
    CHANGE = "change"


def acquire(connection: Connection, lock: Lock, model: str) -> None:
    """Acquires the lock for the connection's session. Raises ModelError where another session holds it."""
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            connection.execute(f"SELECT pg_advisory_lock({KEY})", (lock, model))  # of the session, not the transaction
    except errors.LockNotAvailable:
        raise ModelError(
            f"Another {'promotion' if lock == Lock.PROMOTION else 'promotion or rollback'} of {model} is going on: "
            "wait for it to end, check `python -m flows history USE_CASE`, and retry."
        ) from None


def release(connection: Connection, lock: Lock, model: str) -> None:
    """Releases the lock."""
    connection.execute(f"SELECT pg_advisory_unlock({KEY})", (lock, model))
