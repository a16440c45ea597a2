"""An entity's key -> what the online store holds of each feature, within a deadline.

Entities that are asked for at the same time are looked up by one query. The registry is read when the store is opened,
never by a lookup; how the store is read is told by `asof.serving.store`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from asof.errors import FeatureStoreUnavailable
from asof.feature_contract import FeatureContract
from asof.serving.batching import Batcher
from asof.serving.found_columns import FoundColumns
from asof.serving.store.opening import Opener, open_reader
from asof.serving.store.reader import EntityReader
from asof.serving.verdicts import FoundRow, Policy
from asof.settings import Settings

logger = logging.getLogger("asof.serving")

Answer = TypeVar("Answer")
Lookup = Callable[[], Coroutine[Any, Any, Answer]]

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0


@dataclass(frozen=True)
class _Opened:
    """What is ready to be asked, and the policy of each feature's view, in the order of the contract."""

    reader: EntityReader
    policies: Sequence[Policy]


class OnlineFeatures:
    """The online store as one model sees it. `start` it inside the event loop; `close` it there, too.

    `opener` blocks, and gives what reads the store.
    """

    def __init__(self, settings: Settings, contract: FeatureContract, opener: Opener = open_reader) -> None:
        self.contract = contract
        self._settings, self._opener = settings, opener
        self._opened: _Opened | None = None
        self._trouble: FeatureStoreUnavailable = FeatureStoreUnavailable(
            "The feature store is being opened: try again."
        )
        self._bulk: EntityReader | None = None
        self._turn = asyncio.Lock()
        self._batcher: Batcher[str, FoundRow] = Batcher(self._find_all)
        self._opening: asyncio.Task[None] | None = None

    def start(self) -> "asyncio.Task[None]":
        """Begins to open the store and keeps trying until it succeeds: the service may start before PostgreSQL.

        The task ends when the store is open. Raises ConfigurationError where no PostgreSQL is set.
        """
        self._settings.database()
        self._opening = asyncio.create_task(self._open())
        return self._opening

    async def close(self) -> None:
        """Stops trying to open, and closes the connections."""
        if self._opening:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        for reader in (self._opened and self._opened.reader, self._bulk):
            if reader:
                await reader.close()

    async def _open(self) -> None:
        pause = FIRST_PAUSE
        while self._opened is None:
            try:
                reader = await asyncio.to_thread(self._opener, self._settings, self.contract)
            except FeatureStoreUnavailable as error:
                self._trouble = error
                logger.warning("%s Trying again in %.1f s. (%s)", error, pause, error.__cause__)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self._opened = _Opened(reader, [reader.policies[each.view] for each in self.contract.features])

    @property
    def opened(self) -> _Opened:
        """Raises FeatureStoreUnavailable, or FeatureContractMismatch, while the store is not open."""
        if self._opened is None:
            raise self._trouble.with_traceback(None)  # raised by every request: its traceback would grow for ever
        return self._opened

    @property
    def policies(self) -> Sequence[Policy]:
        """The policy of each feature's view, as registered, in the order of the contract. Raises as `opened` does."""
        return self.opened.policies

    async def find(self, entity: str) -> FoundRow:
        """What the store holds of each feature of the contract, in its order.

        Raises FeatureStoreUnavailable where the store is not open, fails, or takes longer than `lookup_timeout`.
        """
        self.opened  # noqa: B018 - raises at once while the store is not open
        try:
            async with asyncio.timeout(self._settings.lookup_timeout):
                return await self._batcher.submit(entity)
        except TimeoutError:
            raise _too_slow(self._settings) from None

    async def find_many(self, entities: Sequence[str]) -> FoundColumns:
        """The same of many entities, in their order, by one query on a connection of its own. Raises as `find` does."""
        self.opened  # noqa: B018 - raises at once while the store is not open
        async with self._turn:
            if self._bulk is None:
                self._bulk = await asyncio.to_thread(self._opener, self._settings, self.contract)
            return await self._ask(partial(self._bulk.read_columns, entities))

    async def _find_all(self, entities: Sequence[str]) -> list[FoundRow]:
        return await self._ask(partial(self.opened.reader.read, entities))

    async def _ask(self, lookup: Lookup[Answer]) -> Answer:
        from psycopg import Error, OperationalError

        try:
            return await self._within_deadline(lookup)
        except OperationalError:
            logger.info("The connection to the online store was lost: asking once more on a fresh one.")
        except Error as error:
            raise _failed(error) from error
        try:
            return await self._within_deadline(lookup)
        except Error as error:
            raise _failed(error) from error

    async def _within_deadline(self, lookup: Lookup[Answer]) -> Answer:
        """A query that hangs is not waited for.

        asyncio.timeout would wait until the cancelled query has ended, which takes psycopg up to ten seconds when the
        server hangs; cancelled twice, it closes the connection at once.
        """
        task = asyncio.create_task(lookup())
        await asyncio.wait({task}, timeout=self._settings.lookup_timeout)
        if task.done():
            return task.result()
        for _ in range(2):
            task.cancel()
            await asyncio.wait({task}, timeout=0.05)
        raise _too_slow(self._settings)


def _too_slow(settings: Settings) -> FeatureStoreUnavailable:
    return FeatureStoreUnavailable(f"The online store did not answer within {settings.lookup_timeout:g} s: try again.")


def _failed(error: Exception) -> FeatureStoreUnavailable:
    return FeatureStoreUnavailable(f"The online store failed ({type(error).__name__}): try again.")
