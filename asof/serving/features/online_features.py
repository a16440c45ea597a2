"""An entity's key -> what the online store holds of each feature, within a deadline.

Entities that are asked for at the same time are looked up by one query. The registry is looked at every few seconds,
never by a lookup; how the store is read is told by `asof.serving.features.store`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from asof.errors import FeatureContractMismatch, FeatureStoreUnavailable
from asof.features.feature_contract import FeatureContract
from asof.inference.found_columns import FoundColumns
from asof.inference.policies import Registered
from asof.inference.verdicts import FoundRow, Policy
from asof.serving.features.batching import Batcher
from asof.serving.features.store.opening import Look, Opener, look, open_reader
from asof.serving.features.store.reader import EntityReader
from asof.settings import Settings

logger = logging.getLogger("asof.serving")

Answer = TypeVar("Answer")
Lookup = Callable[[], Coroutine[Any, Any, Answer]]

FIRST_PAUSE = 0.5
MAX_LOOK_AGE = 300.0
"""Seconds without a look at the registry after which no answer is given: what is registered may have changed."""


@dataclass
class _Opened:
    """What is ready to be asked, the policy of each feature's view in the order of the contract, and what was seen.

    `bulk` is for many entities at once: opened when it is first asked for.
    """

    reader: EntityReader
    policies: Sequence[Policy]
    seen: Registered
    bulk: EntityReader | None = None


class OnlineFeatures:
    """The online store as one model sees it. `start` it inside the event loop; `close` it there, too.

    `opener` blocks, and gives what reads the store; so does `look`, and gives what is registered. The registry is
    looked at every `features_seconds`. Where it has changed the store is opened again, and the new reader takes over
    between two lookups; where it is no longer what the model was trained on, nothing is answered. While the registry is
    away the answers go on for MAX_LOOK_AGE.
    """

    def __init__(
        self, settings: Settings, contract: FeatureContract, opener: Opener = open_reader, look: Look = look
    ) -> None:
        self.contract = contract
        self._settings, self._opener, self._look = settings, opener, look
        self._opened: _Opened | None = None
        self._trouble, self._looked = _opening(), 0.0
        self._turn = asyncio.Lock()
        self._batcher: Batcher[str, FoundRow] = Batcher(self._find_all)
        self._keeping: asyncio.Task[None] | None = None

    def start(self) -> "asyncio.Future[None]":
        """Begins to open the store and keeps trying until it succeeds: the service may start before PostgreSQL.

        The future is done when the store is open. Raises ConfigurationError where no PostgreSQL is set.
        """
        self._settings.database()
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._keeping = asyncio.create_task(self._keep(opened))
        self._keeping.add_done_callback(lambda _: opened.cancel())
        return opened

    async def close(self) -> None:
        """Stops looking at the registry, and closes the connections."""
        if self._keeping:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
        await self._swap(None)

    async def _keep(self, opened: "asyncio.Future[None]") -> None:
        """Opens the store, and keeps what is read from it in step with the registry."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._renew()
            except FeatureStoreUnavailable as error:
                await self._fail(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._settings.features_seconds)
            else:
                if not opened.done():
                    opened.set_result(None)
                pause = min(FIRST_PAUSE, self._settings.features_seconds)
                await asyncio.sleep(self._settings.features_seconds)

    async def _renew(self) -> None:
        seen = await asyncio.to_thread(self._look, self._settings, self.contract)
        if self._opened is None or self._opened.seen != seen:
            reader = await asyncio.to_thread(self._opener, self._settings, self.contract)
            await self._swap(_Opened(reader, [reader.policies[each.view] for each in self.contract.features], seen))
        self._trouble, self._looked = _opening(), asyncio.get_running_loop().time()

    async def _fail(self, error: FeatureStoreUnavailable) -> None:
        """The registry is away, or has become another."""
        if str(error) != str(self._trouble):
            cause = f" ({error.__cause__})" if error.__cause__ else ""
            logger.warning("%s Trying again every %g s.%s", error, self._settings.features_seconds, cause)
        self._trouble = error
        away = asyncio.get_running_loop().time() - self._looked
        if isinstance(error, FeatureContractMismatch) or away > MAX_LOOK_AGE:
            await self._swap(None)

    async def _swap(self, new: _Opened | None) -> None:
        """What comes from now on is read by the new one; the old one is closed once its last batch is read."""
        old, self._opened = self._opened, new
        if old is None:
            return
        if new:
            logger.info("The feature registry has changed: the store was opened anew.")
        async with self._turn:
            for reader in (old.reader, old.bulk):
                if reader:
                    await reader.close()

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
            opened = self.opened
            if opened.bulk is None:
                opened.bulk = await asyncio.to_thread(self._opener, self._settings, self.contract)
            return await self._ask(partial(opened.bulk.read_columns, entities))

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


def _opening() -> FeatureStoreUnavailable:
    return FeatureStoreUnavailable("The feature store is being opened: try again.")


def _too_slow(settings: Settings) -> FeatureStoreUnavailable:
    return FeatureStoreUnavailable(f"The online store did not answer within {settings.lookup_timeout:g} s: try again.")


def _failed(error: Exception) -> FeatureStoreUnavailable:
    return FeatureStoreUnavailable(f"The online store failed ({type(error).__name__}): try again.")
