"""An entity's key -> what the online store holds of each feature, through Feast, within a deadline.

Entities that are asked for at the same time are looked up by one query. Feast's provider keeps one connection, which
never recovers when it is lost: a provider that failed is thrown away. The registry is read when the store is opened,
never by a lookup.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from asof.errors import FeatureContractMismatch, FeatureStoreUnavailable
from asof.feature_contract import Feature, FeatureContract
from asof.feature_store import close, open_feature_store, read_contract
from asof.serving.batching import Batcher
from asof.serving.verdicts import Found, Policy
from asof.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.feature_service import FeatureService
    from feast.infra.provider import Provider

logger = logging.getLogger("asof.serving")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0


@dataclass(frozen=True)
class _Opened:
    """What is read from the registry once: the store, the service, and the policy of each view."""

    store: "FeatureStore"
    service: "FeatureService"
    policies: Mapping[str, Policy]


class OnlineFeatures:
    """The online store as one model sees it. `start` it inside the event loop; `close` it there, too."""

    def __init__(self, settings: Settings, contract: FeatureContract) -> None:
        self.contract = contract
        self._settings = settings
        self._opened: _Opened | None = None
        self._trouble: FeatureStoreUnavailable = FeatureStoreUnavailable(
            "The feature store is being opened: try again."
        )
        self._provider: Provider | None = None
        self._batcher: Batcher[str, list[Found]] = Batcher(self._find_all)
        self._opening: asyncio.Task[None] | None = None

    def start(self) -> "asyncio.Task[None]":
        """Begins to open the store and keeps trying until it succeeds: the service may start before PostgreSQL.

        The task ends when the store is open. Raises ConfigurationError where no PostgreSQL is set.
        """
        self._settings.database()
        self._opening = asyncio.create_task(self._open())
        return self._opening

    async def close(self) -> None:
        """Stops trying to open, and closes the connection."""
        if self._opening:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        await _disconnect(self._provider)

    async def _open(self) -> None:
        pause = FIRST_PAUSE
        while self._opened is None:
            try:
                self._opened = await asyncio.to_thread(_open, self._settings, self.contract)
            except FeatureStoreUnavailable as error:
                self._trouble = error
                logger.warning("%s Trying again in %.1f s. (%s)", error, pause, error.__cause__)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    @property
    def opened(self) -> _Opened:
        """Raises FeatureStoreUnavailable, or FeatureContractMismatch, while the store is not open."""
        if self._opened is None:
            raise self._trouble.with_traceback(None)  # raised by every request: its traceback would grow for ever
        return self._opened

    def policy(self, feature: Feature) -> Policy:
        """The policy of the feature's view, as registered."""
        return self.opened.policies[feature.view]

    async def find(self, entity: str) -> list[Found]:
        """What the store holds of each feature of the contract, in its order.

        Raises FeatureStoreUnavailable where the store is not open, fails, or takes longer than `lookup_timeout`.
        """
        self.opened  # noqa: B018 - raises at once while the store is not open
        try:
            async with asyncio.timeout(self._settings.lookup_timeout):
                return await self._batcher.submit(entity)
        except TimeoutError:
            raise _too_slow(self._settings) from None

    async def _find_all(self, entities: Sequence[str]) -> list[list[Found]]:
        from psycopg import Error, OperationalError

        try:
            return await self._ask_within_deadline(entities)
        except OperationalError:
            logger.info("The connection to the online store was lost: asking once more on a fresh one.")
        except Error as error:
            raise _failed(error) from error
        try:
            return await self._ask_within_deadline(entities)
        except Error as error:
            raise _failed(error) from error

    async def _ask_within_deadline(self, entities: Sequence[str]) -> list[list[Found]]:
        """A query that hangs is not waited for.

        asyncio.timeout would wait until the cancelled query has ended, which takes psycopg up to ten seconds when the
        server hangs; cancelled twice, it closes the connection at once.
        """
        task = asyncio.create_task(self._ask(entities))
        await asyncio.wait({task}, timeout=self._settings.lookup_timeout)
        if task.done():
            return task.result()
        for _ in range(2):
            task.cancel()
            await asyncio.wait({task}, timeout=0.05)
        raise _too_slow(self._settings)

    async def _ask(self, entities: Sequence[str]) -> list[list[Found]]:
        from feast.infra.provider import get_provider

        opened = self.opened
        provider, self._provider = self._provider or get_provider(opened.store.config), None
        try:
            response = await provider.get_online_features_async(
                config=opened.store.config,
                features=opened.service,
                entity_rows=[{self.contract.entity: entity} for entity in entities],
                registry=opened.store.registry,
                project=opened.store.project,
            )
        except BaseException:
            await _disconnect(provider)
            raise
        self._provider = provider
        return [_found(response.proto, row, self.contract) for row in range(len(entities))]


async def _disconnect(provider: "Provider | None") -> None:
    """Closes the provider's connection; for that, Feast has no public way."""
    connection = getattr(getattr(provider, "online_store", None), "_conn_async", None)
    if connection is not None:
        await connection.close()


def _open(settings: Settings, contract: FeatureContract) -> _Opened:
    """Blocks: imports Feast and reads the registry. Raises FeatureStoreUnavailable or FeatureContractMismatch."""
    try:
        store = open_feature_store(settings, registry_ttl=0)
        try:
            service, registered, policies = _read_registry(store, contract.feature_service)
        finally:
            close(store)  # what was read is kept; nothing is read again
    except FeatureStoreUnavailable:
        raise
    except Exception as error:
        raise FeatureStoreUnavailable(f"The feature registry cannot be read ({type(error).__name__}).") from error
    if difference := contract.difference(registered):
        raise FeatureContractMismatch(
            f"Feature service {contract.feature_service!r} is not what the model was trained on: {difference}. "
            "Run `feast apply` with the model's features, or train and bundle again.",
            difference=difference,
        )
    return _Opened(store, service, policies)


def _read_registry(store: "FeatureStore", name: str) -> "tuple[FeatureService, FeatureContract, dict[str, Policy]]":
    from feast.errors import FeastObjectNotFoundException

    try:
        service = store.get_feature_service(name)
        contract = read_contract(store, service)
        views = [store.get_feature_view(view) for view in contract.views]
    except FeastObjectNotFoundException as error:
        raise FeatureContractMismatch(
            f"The registry lacks what the model needs ({error}): run `feast apply`."
        ) from error
    return service, contract, {view.name: _policy(view.ttl, view.tags) for view in views}


def _policy(ttl: Any, tags: Mapping[str, str]) -> Policy:
    """Feast's own rule: no ttl, or one of zero, sets no limit. Only `staleness: flag` makes a view lenient."""
    return Policy(max_age=ttl or None, refuses=tags.get("staleness") != "flag")


def _found(proto: Any, row: int, contract: FeatureContract) -> list[Found]:
    """One row of Feast's answer in our terms. A NaN is a null: no model input may be one unnoticed."""
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
    from feast.type_map import feast_value_type_to_python_type

    columns = dict(zip(proto.metadata.feature_names.val, proto.results, strict=True))
    found = []
    for feature in contract.features:
        column = columns[feature.name]
        value = feast_value_type_to_python_type(column.values[row])
        moment = column.event_timestamps[row].ToDatetime(tzinfo=UTC)
        there = column.statuses[row] != FieldStatus.NOT_FOUND
        found.append(Found(feature, value if value == value else None, moment if there else None))
    return found


def _too_slow(settings: Settings) -> FeatureStoreUnavailable:
    return FeatureStoreUnavailable(f"The online store did not answer within {settings.lookup_timeout:g} s: try again.")


def _failed(error: Exception) -> FeatureStoreUnavailable:
    return FeatureStoreUnavailable(f"The online store failed ({type(error).__name__}): try again.")
