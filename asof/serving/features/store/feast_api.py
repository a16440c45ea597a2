"""Reads any online store through Feast's API, at the cost of a hundred megabytes and some milliseconds.

Feast's provider has one connection, which does not recover after it is lost: a provider that failed is discarded. The
registry is read when the store is opened, never by a lookup.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any

from asof.errors import FeatureStoreUnavailable
from asof.features.feast.registry import missing_in_registry
from asof.features.feature_contract import FeatureContract
from asof.features.feature_store import close, definition_records, feature_store, open_feature_store, read_contract
from asof.features.join_keys import Entity
from asof.inference.policies import RegisteredFeatures, require_same, view_policy
from asof.inference.stored_columns import StoredColumns
from asof.inference.verdicts import Policy, StoredRow
from asof.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.feature_service import FeatureService
    from feast.infra.provider import Provider

logger = logging.getLogger("asof.serving")


def open_feast_reader(settings: Settings, contract: FeatureContract) -> "FeastReader":
    """Imports Feast and reads the registry; blocks. Raises FeatureContractMismatch, and what Feast raises."""
    store = open_feature_store(settings, registry_ttl=0)
    try:
        service, registered = _read_registry(settings, store, contract.feature_service)
    finally:
        close(store)  # the service that was read stays valid
    require_same(contract, registered)
    return FeastReader(store, service, contract=contract, policies=registered.policies)


def read_registered_by_feast(settings: Settings, service: str) -> RegisteredFeatures:
    """The registered features of a service; blocks. Raises as `open_feast_reader` does."""
    with feature_store(settings) as store:
        return _read_registry(settings, store, service)[1]


class FeastReader:
    """An EntityReader of the store in feature_store.yaml."""

    def __init__(
        self,
        store: "FeatureStore",
        service: "FeatureService",
        *,
        contract: FeatureContract,
        policies: Mapping[str, Policy],
    ) -> None:
        self.policies = policies
        self._store, self._service, self._contract = store, service, contract
        self._provider: Provider | None = None
        self._closed = False

    async def read(self, entities: Sequence[Entity]) -> list[StoredRow]:
        from feast.infra.provider import get_provider

        if not entities:  # Feast refuses an empty list
            return []
        provider, self._provider = self._provider or get_provider(self._store.config), None
        try:
            response = await self._ask(provider, entities)
        except BaseException:
            await _disconnect(provider)
            raise
        if self._closed:
            await _disconnect(provider)
        else:
            self._provider = provider
        return [_stored_row(response.proto, row, self._contract) for row in range(len(entities))]

    async def read_columns(self, entities: Sequence[Entity]) -> StoredColumns:
        return StoredColumns.from_rows(self._contract.features, await self.read(entities))

    async def close(self) -> None:
        self._closed = True
        await _disconnect(self._provider)

    async def _ask(self, provider: "Provider", entities: Sequence[Entity]) -> Any:
        from psycopg import Error

        keys = self._contract.keys
        try:
            return await provider.get_online_features_async(
                config=self._store.config,
                features=self._service,
                entity_rows=[dict(zip(keys.names, keys.values(entity), strict=True)) for entity in entities],
                registry=self._store.registry,
                project=self._store.project,
            )
        except Error:
            raise
        except Exception as error:  # each store has its own errors
            logger.exception("Feast failed at a lookup.")
            raise FeatureStoreUnavailable(f"The online store failed ({type(error).__name__}): try again.") from error


async def _disconnect(provider: "Provider | None") -> None:
    """Closes the store's connections, also that of Feast's PostgreSQL store, whose `close` leaves it open."""
    if provider is None:
        return
    store = provider.online_store
    await store.close()
    connection = getattr(store, "_conn_async", None)
    if connection is not None:
        await connection.close()


def _read_registry(settings: Settings, store: "FeatureStore", name: str) -> "tuple[FeatureService, RegisteredFeatures]":
    from feast.errors import FeastObjectNotFoundException

    try:
        service = store.get_feature_service(name)
        contract = read_contract(store, service)
        views = [store.get_feature_view(view) for view in contract.views]
    except FeastObjectNotFoundException as error:
        raise missing_in_registry(error) from error
    policies = {view.name: view_policy(view.ttl, view.tags) for view in views}
    return service, RegisteredFeatures(contract, policies, definition_records(settings, contract))


def _stored_row(proto: Any, row: int, contract: FeatureContract) -> StoredRow:
    """A row of Feast's response. A NaN becomes a null, so that no model gets one unnoticed."""
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
    from feast.type_map import feast_value_type_to_python_type

    columns = dict(zip(proto.metadata.feature_names.val, proto.results, strict=True))
    values, moments = [], []
    for feature in contract.features:
        column = columns[feature.name]
        value = feast_value_type_to_python_type(column.values[row])
        exists = column.statuses[row] != FieldStatus.NOT_FOUND
        values.append(value if value == value else None)
        moments.append(column.event_timestamps[row].ToDatetime(tzinfo=UTC) if exists else None)
    return StoredRow(contract.features, values, moments)
