"""Feast's online store -> the online side of a comparison: value, type and moment, as the service reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from asof.features.feature_contract import Feature
from training.features.parity.verdicts import StoredValue

if TYPE_CHECKING:
    from feast import FeatureStore

FEAST_TYPES = {"double": "Float64", "float": "Float32"}
"""Feast's types by the protobuf's field, where the name is not just capitalised."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class OnlineSide:
    """Reads features from Feast's online store by the key of their entity."""

    store: "FeatureStore"
    entity: str
    features: Sequence[Feature]

    def read(self, users: Sequence[str]) -> list[list[StoredValue]]:
        """For each feature the value of each user, in their order; `StoredValue()` if there is no row."""
        response = self.store.get_online_features(
            features=[f"{feature.view}:{feature.name}" for feature in self.features],
            entity_rows=[{self.entity: user} for user in users],
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
