"""An entity's key -> what the online store holds of each feature, through Feast, within a deadline.

Feast keeps one connection for each provider, which serialises queries and never recovers when it is lost. So there are
a few providers, each used by one lookup at a time, and one that failed is thrown away. The registry is read when the
store is opened, never by a lookup.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, TypeVar

from asof.errors import FeatureContractMismatch, FeatureStoreUnavailable
from asof.feature_contract import Feature, FeatureContract
from asof.feature_store import open_feature_store, read_contract
from asof.serving.verdicts import Found, Policy
from asof.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.feature_service import FeatureService
    from feast.infra.provider import Provider

T = TypeVar("T")
logger = logging.getLogger("asof.serving")

CONNECTIONS = 4
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
        self._providers: asyncio.Queue[Provider | None] = asyncio.Queue()
        self._opening: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to open the store and keeps trying until it succeeds: the service may start before PostgreSQL.

        Raises ConfigurationError where no PostgreSQL is set.
        """
        self._settings.database()
        for _ in range(CONNECTIONS):
            self._providers.put_nowait(None)
        self._opening = asyncio.create_task(self._open())

    async def close(self) -> None:
        """Stops trying to open; open connections end with the process."""
        if self._opening:
            self._opening.cancel()
            await asyncio.wait({self._opening})

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
            raise self._trouble
        return self._opened

    def policy(self, feature: Feature) -> Policy:
        """The policy of the feature's view, as registered."""
        return self.opened.policies[feature.view]

    async def find(self, entity: str) -> list[Found]:
        """What the store holds of each feature of the contract, in its order.

        Raises FeatureStoreUnavailable where the store is not open, fails, or takes longer than `lookup_timeout`.
        """
        return await _within(self._settings.lookup_timeout, self._find(self.opened, entity))

    async def _find(self, opened: _Opened, entity: str) -> list[Found]:
        from psycopg import OperationalError

        try:
            return await self._ask(opened, entity)
        except OperationalError:
            # A lost connection says that the server was restarted, not that it is away: ask once more, on a fresh one.
            self._forget_connections()
            return await self._ask(opened, entity)

    def _forget_connections(self) -> None:
        for _ in range(self._providers.qsize()):
            self._providers.get_nowait()
            self._providers.put_nowait(None)

    async def _ask(self, opened: _Opened, entity: str) -> list[Found]:
        async with self._provider(opened) as provider:
            response = await provider.get_online_features_async(
                config=opened.store.config,
                features=opened.service,
                entity_rows=[{self.contract.entity: entity}],
                registry=opened.store.registry,
                project=opened.store.project,
            )
        return _found(response.proto, self.contract)

    @contextlib.asynccontextmanager
    async def _provider(self, opened: _Opened) -> "AsyncIterator[Provider]":
        """A provider for one lookup; the next gets a fresh one if this one fails."""
        from feast.infra.provider import get_provider

        waiting = await self._providers.get()
        healthy: Provider | None = None
        try:
            provider = waiting or get_provider(opened.store.config)
            yield provider
            healthy = provider
        finally:
            self._providers.put_nowait(healthy)


def _open(settings: Settings, contract: FeatureContract) -> _Opened:
    """Blocks: imports Feast and reads the registry. Raises FeatureStoreUnavailable or FeatureContractMismatch."""
    from feast.errors import FeastObjectNotFoundException

    try:
        store = open_feature_store(settings, registry_ttl=0)
        service = store.get_feature_service(contract.feature_service)
        registered = read_contract(store, service)
        views = [store.get_feature_view(view) for view in registered.views]
    except FeastObjectNotFoundException as error:
        raise FeatureContractMismatch(
            f"The registry lacks what the model needs ({error}): run `feast apply`."
        ) from error
    except Exception as error:
        raise FeatureStoreUnavailable(f"The feature registry cannot be read ({type(error).__name__}).") from error
    if difference := _difference(contract, registered):
        raise FeatureContractMismatch(
            f"Feature service {contract.feature_service!r} is not what the model was trained on: {difference}. "
            "Run `feast apply` with the model's features, or train and bundle again.",
            difference=difference,
        )
    return _Opened(store, service, {view.name: _policy(view.ttl, view.tags) for view in views})


def _policy(ttl: Any, tags: Mapping[str, str]) -> Policy:
    """Feast's own rule: no ttl, or one of zero, sets no limit. Only `staleness: flag` makes a view lenient."""
    return Policy(max_age=ttl or None, refuses=tags.get("staleness") != "flag")


def _difference(model: FeatureContract, registry: FeatureContract) -> str:
    """What differs, in words; empty where the contracts are equal."""
    ours, theirs = ({f"{f.view}:{f.name} ({f.dtype})" for f in side.features} for side in (model, registry))
    parts = [
        f"only the model has {', '.join(sorted(ours - theirs))}" if ours - theirs else "",
        f"only the registry has {', '.join(sorted(theirs - ours))}" if theirs - ours else "",
        f"the entity is {registry.entity!r}, not {model.entity!r}" if registry.entity != model.entity else "",
    ]
    return "; ".join(part for part in parts if part) or ("" if model == registry else "the order of the features")


def _found(proto: Any, contract: FeatureContract) -> list[Found]:
    """Feast's answer for one entity in our terms. A NaN is a null: no model input may be one unnoticed."""
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
    from feast.type_map import feast_value_type_to_python_type

    columns = dict(zip(proto.metadata.feature_names.val, proto.results, strict=True))
    found = []
    for feature in contract.features:
        column = columns[feature.name]
        value = feast_value_type_to_python_type(column.values[0])
        moment = column.event_timestamps[0].ToDatetime(tzinfo=UTC)
        there = column.statuses[0] != FieldStatus.NOT_FOUND
        found.append(Found(feature, value if value == value else None, moment if there else None))
    return found


async def _within(seconds: float, lookup: Coroutine[Any, Any, T]) -> T:
    """The lookup's result, or FeatureStoreUnavailable. A lookup that hangs is not waited for.

    asyncio.timeout would wait until the cancelled query has ended, which takes psycopg up to ten seconds when the
    server hangs; cancelled twice, it closes the connection at once.
    """
    task = asyncio.create_task(lookup)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if done:
        return _result(task)
    for _ in range(2):
        task.cancel()
        await asyncio.wait({task}, timeout=0.05)
    raise FeatureStoreUnavailable(f"The online store did not answer within {seconds:g} s: try again.")


def _result(task: "asyncio.Task[T]") -> T:
    from psycopg import Error

    try:
        return task.result()
    except Error as error:
        text = f"The online store failed ({type(error).__name__}): try again."
        raise FeatureStoreUnavailable(text) from error
