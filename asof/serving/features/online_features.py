"""Online feature lookup of an entity, with a timeout.

Concurrent lookups are merged into one query. The registry is read every few seconds, never by a lookup. The readers of
the store are in `asof.serving.features.store`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from asof.errors import FeatureContractMismatch, FeatureStoreUnavailable
from asof.features.feature_contract import FeatureContract
from asof.features.join_keys import Entity
from asof.inference.policies import RegisteredFeatures
from asof.inference.stored_columns import StoredColumns
from asof.inference.verdicts import Policy, StoredRow
from asof.serving.features.batching import Batcher
from asof.serving.features.store.deadline import within
from asof.serving.features.store.opening import OpenReader, ReadRegistry, open_reader, read_registered
from asof.serving.features.store.reader import EntityReader
from asof.serving.features.store.replica_reader import ReplicaReader
from asof.serving.features.store.replica_watch import ReplicaWatch
from asof.settings import Settings

logger = logging.getLogger("asof.serving")

Result = TypeVar("Result")
Lookup = Callable[[], Coroutine[Any, Any, Result]]

FIRST_RETRY_SECONDS = 0.5
MAX_REGISTRY_AGE = 300.0
"""Seconds since the registry was last read after which no lookup is answered: the definitions may have changed."""


@dataclass
class _OpenStore:
    """A reader, the policy of each feature's view in the order of the contract, and the features as registered.

    `bulk_reader` is for many entities at once; without replicas it is opened by the first such lookup.
    """

    reader: EntityReader
    policies: Sequence[Policy]
    registered: RegisteredFeatures
    bulk_reader: EntityReader | None = None


class OnlineFeatures:
    """The online store for one feature contract. Call `start` and `close` inside the event loop.

    The registry is read every `features_seconds`. When the registered features change, the store is opened again and
    the new reader replaces the old one between two lookups; when they no longer match the contract, lookups fail. While
    the registry is unavailable, lookups go on for MAX_REGISTRY_AGE. With `replicas` they are made at one that is
    current; the registry is always the primary's.
    """

    def __init__(
        self,
        settings: Settings,
        contract: FeatureContract,
        opener: OpenReader = open_reader,
        read_registry: ReadRegistry = read_registered,
        *,
        replicas: ReplicaWatch | None = None,
    ) -> None:
        self.contract = contract
        self._settings, self._opener, self._read_registry = settings, opener, read_registry
        self._replicas = replicas
        self._store: _OpenStore | None = None
        self._error, self._registry_read_at = _not_open_yet(), 0.0
        self._bulk_lock = asyncio.Lock()
        self._batcher: Batcher[Entity, StoredRow] = Batcher(self._read_rows)
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> "asyncio.Future[None]":
        """Starts to open the store, and retries until it succeeds: the service may start before PostgreSQL.

        The future is done when the store is open. Raises ConfigurationError where no PostgreSQL is set.
        """
        self._settings.database()
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watching = asyncio.create_task(self._watch_registry(opened))
        self._watching.add_done_callback(lambda _: opened.cancel())
        if self._replicas:
            self._replicas.start()
        return opened

    async def close(self) -> None:
        """Stops reading the registry, and closes the connections."""
        if self._watching:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        await self._swap(None)
        if self._replicas:
            await self._replicas.close()

    async def _watch_registry(self, opened: "asyncio.Future[None]") -> None:
        pause = FIRST_RETRY_SECONDS
        while True:
            try:
                await self._refresh()
            except FeatureStoreUnavailable as error:
                await self._record_error(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._settings.features_seconds)
            else:
                if not opened.done():
                    opened.set_result(None)
                pause = min(FIRST_RETRY_SECONDS, self._settings.features_seconds)
                await asyncio.sleep(self._settings.features_seconds)

    async def _refresh(self) -> None:
        """Opens the store where it is not open, or where the registered features have changed."""
        registered = await asyncio.to_thread(self._read_registry, self._settings, self.contract)
        if self._store is None or self._store.registered != registered:
            reader = await self._open()
            policies = [reader.policies[feature.view] for feature in self.contract.features]
            bulk_reader = await self._open() if self._replicas else None  # later, the primary may be away
            await self._swap(_OpenStore(reader, policies, registered, bulk_reader))
        self._error, self._registry_read_at = _not_open_yet(), asyncio.get_running_loop().time()

    async def _open(self) -> EntityReader:
        reader = await asyncio.to_thread(self._opener, self._settings, self.contract)
        return ReplicaReader(reader, self._replicas, self._opener, self.contract) if self._replicas else reader

    async def _record_error(self, error: FeatureStoreUnavailable) -> None:
        """Logs a new error. Closes the store on a mismatch, or when the registry was last read too long ago."""
        if str(error) != str(self._error):
            cause = f" ({error.__cause__})" if error.__cause__ else ""
            logger.warning("%s Trying again every %g s.%s", error, self._settings.features_seconds, cause)
        self._error = error
        age = asyncio.get_running_loop().time() - self._registry_read_at
        if isinstance(error, FeatureContractMismatch) or age > MAX_REGISTRY_AGE:
            await self._swap(None)

    async def _swap(self, new: _OpenStore | None) -> None:
        """Directs new lookups to `new`; closes the old readers when no bulk lookup uses them."""
        old, self._store = self._store, new
        if old is None:
            return
        if new:
            logger.info("The registered features have changed: the online store was opened again.")
        async with self._bulk_lock:
            for reader in (old.reader, old.bulk_reader):
                if reader:
                    await reader.close()

    def _require_open(self) -> _OpenStore:
        """The open store. Raises FeatureStoreUnavailable or FeatureContractMismatch while there is none."""
        if self._store is None:
            raise self._error.with_traceback(None)  # raised by every request: its traceback would grow each time
        return self._store

    @property
    def policies(self) -> Sequence[Policy]:
        """The policy of each feature's view, in the order of the contract. Raises while the store is not open."""
        return self._require_open().policies

    async def lookup(self, entity: Entity) -> StoredRow:
        """The entity's features in the order of the contract.

        Raises FeatureStoreUnavailable where the store is not open, fails, or takes longer than `lookup_timeout`.
        """
        self._require_open()
        try:
            async with asyncio.timeout(self._settings.lookup_timeout):
                return await self._batcher.submit(entity)
        except TimeoutError:
            raise _timed_out(self._settings) from None

    async def lookup_many(self, entities: Sequence[Entity]) -> StoredColumns:
        """The same for many entities by one query on a separate connection, in their order. Raises as `lookup` does."""
        self._require_open()
        async with self._bulk_lock:
            store = self._require_open()
            if store.bulk_reader is None:
                store.bulk_reader = await self._open()
            return await self._with_retry(partial(store.bulk_reader.read_columns, entities))

    async def _read_rows(self, entities: Sequence[Entity]) -> list[StoredRow]:
        return await self._with_retry(partial(self._require_open().reader.read, entities))

    async def _with_retry(self, lookup: Lookup[Result]) -> Result:
        from psycopg import Error, OperationalError

        try:
            return await self._with_timeout(lookup)
        except OperationalError:
            logger.info("The connection to the online store was lost: trying once more on a new one.")
        except Error as error:
            raise _failed(error) from error
        try:
            return await self._with_timeout(lookup)
        except Error as error:
            raise _failed(error) from error

    async def _with_timeout(self, lookup: Lookup[Result]) -> Result:
        try:
            return await within(self._settings.lookup_timeout, lookup())
        except TimeoutError:
            raise _timed_out(self._settings) from None


def _not_open_yet() -> FeatureStoreUnavailable:
    return FeatureStoreUnavailable("The feature store is being opened: try again.")


def _timed_out(settings: Settings) -> FeatureStoreUnavailable:
    return FeatureStoreUnavailable(f"The online store did not answer within {settings.lookup_timeout:g} s: try again.")


def _failed(error: Exception) -> FeatureStoreUnavailable:
    return FeatureStoreUnavailable(f"The online store failed ({type(error).__name__}): try again.")
