"""Who may change what is in Production of a model: turns of one process each, which end with it.

There are two. Promotions of a model take turns from their beginning to their end, so that the second is told before it
judges for minutes. Whoever changes something, a promotion or a rollback, takes the turn to change for a moment only: a
rollback never waits for a gate.
"""

from enum import StrEnum

from psycopg import errors

from asof.errors import ModelError
from training.release.promotion.history import Connection

PATIENCE = "1s"
"""How long a turn is waited for: a change takes less, and the server notices only after a moment that a run is gone."""

KEY = "hashtextextended('asof ' || %s || ' of ' || %s, 0)"


class Turn(StrEnum):
    """What is done by one process at a time."""

    PROMOTION = "promotion"
    CHANGE = "change"


def take(connection: Connection, turn: Turn, model: str) -> None:
    """Takes the turn for this connection. Raises ModelError where somebody else has it."""
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{PATIENCE}'")
            connection.execute(f"SELECT pg_advisory_lock({KEY})", (turn, model))  # the session's: it outlives this
    except errors.LockNotAvailable:
        raise ModelError(
            f"Another {'promotion' if turn == Turn.PROMOTION else 'promotion or rollback'} of {model} is going on: "
            "wait until it has ended, look at `python -m flows history`, and try again."
        ) from None


def give_back(connection: Connection, turn: Turn, model: str) -> None:
    """Lets others have the turn."""
    connection.execute(f"SELECT pg_advisory_unlock({KEY})", (turn, model))
