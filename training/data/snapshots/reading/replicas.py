"""Bulk reads of the snapshots at a replica that has replayed every load they count on, or else at the primary.

A reader makes a schema of views at the primary (`known_at`), after it has waited for a running load. The write-ahead
log is replayed in order, so a replica that has these views has all loads that were committed before.
"""

import contextlib
import functools
import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import Concatenate, ParamSpec, TypeVar

import psycopg

from asof.replicas import require_replica, server_name, server_state
from asof.settings import Settings

log = logging.getLogger("asof.progress")

REPLAY_SECONDS = 5.0
"""That a bulk read waits for a replica to replay its views: little beside the minutes that it takes."""
POLL_SECONDS = 0.02
ABSENCE_SECONDS = 60.0
"""For which this process does not try a replica again that was behind or away: a bulk read has many ranges."""
HAS_VIEWS = "SELECT pg_is_in_recovery() AND to_regclass(%s) IS NOT NULL"

_left_until: dict[str, float] = {}
"""The monotonic second until which each such replica is left, by name."""

P = ParamSpec("P")
T = TypeVar("T")


@contextlib.contextmanager
def replica_with(
    settings: Settings, primary: psycopg.Connection, last_view: str
) -> Iterator[tuple[Settings, psycopg.Connection]]:
    """A replica that has `last_view`, the last that was created, or else the primary: its settings, and a connection.

    Raises ConfigurationError where a server is not a replica of the primary.
    """
    replicas = [each for each in settings.replicas() if time.monotonic() > _left_until.get(server_name(each), 0.0)]
    random.shuffle(replicas)
    with contextlib.ExitStack() as stack:
        for replica in replicas:
            name, trouble = server_name(replica), f"it is more than {REPLAY_SECONDS:g} s behind"
            try:
                connection = stack.enter_context(psycopg.connect(replica.conninfo(), autocommit=True))
                is_current = _wait_for(connection, last_view)
                if not is_current:
                    require_replica(name, server_state(connection), server_state(primary))
            except psycopg.OperationalError as error:
                is_current, trouble = False, _reason(error)
            if is_current:
                log.info("Reading replica %s", name)
                yield replica, connection
                return
            log.warning("Replica %s is not read: %s", name, trouble)
            _left_until[name] = time.monotonic() + ABSENCE_SECONDS
        yield settings.at_primary(), primary


def again_at_primary(read: Callable[Concatenate[Settings, P], T]) -> Callable[Concatenate[Settings, P], T]:
    """Calls `read` a second time, without replicas, where PostgreSQL fails and it may have been a replica."""

    @functools.wraps(read)
    def reading(settings: Settings, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(settings, *args, **kwargs)
        except psycopg.OperationalError as error:
            return read(without_lost_replica(settings, error), *args, **kwargs)

    return reading


def without_lost_replica(settings: Settings, error: psycopg.OperationalError) -> Settings:
    """The settings without replicas, to read once more; raises the error where there were none."""
    if settings.postgres_read_urls is None:
        raise error
    log.warning("The replica failed, reading the primary: %s", _reason(error))
    return settings.at_primary()


def _wait_for(connection: psycopg.Connection, view: str) -> bool:
    deadline = time.monotonic() + REPLAY_SECONDS
    while connection.execute(HAS_VIEWS, (view,)).fetchone() != (True,):
        if time.monotonic() > deadline or not server_state(connection).in_recovery:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _reason(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
