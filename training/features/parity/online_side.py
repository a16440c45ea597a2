"""The online store -> the online side of a comparison: value, type and moment, as the service reads them.

Our own store is read by the service's reader, without importing Feast; any other through Feast.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from asof.errors import ConfigurationError
from asof.features.feature_contract import Feature, FeatureContract
from asof.features.feature_store import configuration, feature_store, registered_service
from asof.features.join_keys import Entity, JoinKeys
from asof.inference.stored_columns import DTYPES, MOMENT, StoredColumn
from asof.inference.wide_reader import WIDE, WideReader
from asof.settings import Settings
from training.features.parity.verdicts import StoredValue

if TYPE_CHECKING:
    from feast import FeatureStore

FEAST_TYPES = {"double": "Float64", "float": "Float32"}
"""Feast's types by the protobuf's field, where the name is not just capitalised."""

TYPES = {dtype: name for name, dtype in DTYPES.items()} | {"object": "String"}
"""Feast's types by NumPy's."""
UNREADABLE_STATES = ("CREATED", "GENERATED")
"""Feast's states of a view in which it refuses a lookup."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OnlineSide(Protocol):
    """Reads features of entities."""

    @property
    def features(self) -> Sequence[Feature]: ...

    def read(self, users: Sequence[Entity]) -> list[list[StoredValue]]:
        """For each feature the value of each user, in their order; `StoredValue()` if there is no row."""


@contextmanager
def open_online_side(settings: Settings, contracts: Sequence[FeatureContract]) -> "Iterator[OnlineSide]":
    """All features of contracts of the same keys. Raises ConfigurationError if Feast would not read a view."""
    keys = contracts[0].keys
    features = tuple(dict.fromkeys(each for contract in contracts for each in contract.features))
    if reader := _wide_reader(settings, contracts, replace(contracts[0], features=features)):
        with asyncio.Runner() as runner:
            try:
                yield ArraySide(reader, runner, features)
            finally:
                runner.run(reader.close())
        return
    with feature_store(settings) as store:
        for view in dict.fromkeys(feature.view for feature in features):
            _require_readable(view, store.get_feature_view(view).state.name)
        yield FeastSide(store, keys, features)


def _wide_reader(
    settings: Settings, contracts: Sequence[FeatureContract], features: FeatureContract
) -> WideReader | None:
    """The service's reader of our own store; None where only Feast can read these features."""
    services = [registered_service(settings, contract.feature_service) for contract in contracts]
    store = configuration(settings)
    if store["online_store"]["type"] != WIDE or None in services or not WideReader.can_read(features):
        return None
    for service in filter(None, services):
        for view, state in service.states.items():
            _require_readable(view, state)
    return WideReader(store, features, {})


def _require_readable(view: str, state: str) -> None:
    if state in UNREADABLE_STATES:
        raise ConfigurationError(
            f"Feast does not read {view} online ({state}): a materialisation of it has failed or was killed. "
            "Run `python -m flows ingest`."
        )


@dataclass(frozen=True)
class ArraySide:
    """Our own store, read as arrays."""

    reader: WideReader
    runner: asyncio.Runner
    features: Sequence[Feature]

    def read(self, users: Sequence[Entity]) -> list[list[StoredValue]]:
        # Not by `Runner.run`, whose signal handling prints the result (as an error of `enum`) for each chunk.
        columns = self.runner.get_loop().run_until_complete(self.reader.read_columns(users)).columns
        return [_stored_values(column) for column in columns]


def _stored_values(column: StoredColumn) -> list[StoredValue]:
    dtype = TYPES[column.values.dtype.name]
    moments = [moment and moment.replace(tzinfo=UTC) for moment in column.moments.astype(MOMENT).tolist()]
    return [
        StoredValue(moment) if null else StoredValue(moment, value, dtype)
        for value, null, moment in zip(column.values.tolist(), column.nulls.tolist(), moments, strict=True)
    ]


@dataclass(frozen=True)
class FeastSide:
    """Any online store, read through Feast."""

    store: "FeatureStore"
    keys: JoinKeys
    features: Sequence[Feature]

    def read(self, users: Sequence[Entity]) -> list[list[StoredValue]]:
        response = self.store.get_online_features(
            features=[f"{feature.view}:{feature.name}" for feature in self.features],
            entity_rows=[dict(zip(self.keys.names, self.keys.values(user), strict=True)) for user in users],
            full_feature_names=True,
        ).proto
        columns = dict(zip(response.metadata.feature_names.val, response.results, strict=True))
        return [_column(columns[f"{feature.view}__{feature.name}"]) for feature in self.features]


def _column(column: Any) -> list[StoredValue]:
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    absent = FieldStatus.NOT_FOUND
    return [
        StoredValue() if status == absent else _stored_value(value, moment)
        for value, status, moment in zip(column.values, column.statuses, column.event_timestamps, strict=True)
    ]


def _stored_value(proto: Any, moment: Any) -> StoredValue:
    """A NaN is a null, as the service reads it."""
    as_of = EPOCH + timedelta(seconds=moment.seconds, microseconds=moment.nanos // 1000)
    field = proto.WhichOneof("val")
    value = getattr(proto, field) if field else None
    if value is None or value != value:
        return StoredValue(as_of)
    name = field.removesuffix("_val")
    return StoredValue(as_of, value, FEAST_TYPES.get(name, name.capitalize()))
