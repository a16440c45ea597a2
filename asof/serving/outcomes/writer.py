"""Writes reports to the ledger's database, one request in one transaction, within a deadline.

In a thread of its own: the connection blocks, and predictions use the event loop. A deadline that passes closes the
connection, so that the transaction is either committed whole or not at all.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psycopg

from asof.errors import ConfigurationError, LedgerUnavailable
from asof.ledger.outcomes.record import Result, record
from asof.ledger.outcomes.report import Report, ReportReader
from asof.settings import Settings
from asof.use_case import UseCase

DEADLINE = 8.0
"""Seconds. BentoML's own timeout, of traced requests, is longer."""
TIMEOUTS = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
"""Of the session: so the server, too, ends a transaction whose client it has lost, and releases its lock."""
AGAIN = "send the outcomes again; none was kept."
MISSING = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.InsufficientPrivilege)


class OutcomeWriter:
    """One for each worker."""

    def __init__(self, settings: Settings, use_case: UseCase) -> None:
        self._settings, self._use_case = settings, use_case
        self._reader = ReportReader(use_case)
        self._thread = ThreadPoolExecutor(1, "outcomes")

    async def write(self, items: Sequence[Any], source: str) -> list[Result]:
        """The result of each item, in order; `source` names who reports. Raises LedgerUnavailable."""
        writing = _Writing(self._settings, self._use_case)

        def work() -> list[Result]:
            now = self._settings.now()
            return writing.run([self._reader.read(each, now) for each in items], source)

        done = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            async with asyncio.timeout(DEADLINE):
                return await done
        except TimeoutError:
            writing.stop()
            raise LedgerUnavailable(
                f"The ledger's database did not answer within {DEADLINE:g} s: send the outcomes again."
            ) from None


class _Writing:
    """One request's transaction."""

    def __init__(self, settings: Settings, use_case: UseCase) -> None:
        self._settings, self._use_case = settings, use_case
        self._connection: psycopg.Connection | None = None
        self._stopped = False

    def run(self, reports: Sequence[Report | str], source: str) -> list[Result]:
        """Blocks. Raises LedgerUnavailable."""
        timeouts = dict.fromkeys(TIMEOUTS, f"{DEADLINE * 1000:.0f}")
        try:
            conninfo = self._settings.ledger_conninfo(default_transaction_read_only="off", **timeouts)
            with psycopg.connect(conninfo, autocommit=True, application_name="asof outcomes") as self._connection:
                if self._stopped:
                    return []
                return record(self._connection, self._use_case, reports, source)
        except MISSING:
            raise LedgerUnavailable(
                "The ledger has no table of outcomes that this service may write: run `python -m flows databases`."
            ) from None
        except psycopg.OperationalError:
            raise LedgerUnavailable(f"The ledger's database does not answer: {AGAIN}") from None
        except ConfigurationError as error:
            raise LedgerUnavailable(f"The ledger has no database: {error}") from None

    def stop(self) -> None:
        """Ends the connection under the thread that waits for it."""
        self._stopped = True
        with suppress(OSError, psycopg.Error):
            if self._connection is not None:
                with socket.socket(fileno=os.dup(self._connection.fileno())) as twin:
                    twin.shutdown(socket.SHUT_RDWR)
