"""Feast's online store -> the online side of a comparison, as the service sees it: value, type, moment, absence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from asof.features.feature_contract import Feature
from training.features.parity.verdicts import StoredValue

if TYPE_CHECKING:
    from feast import FeatureStore

TYPES = {"double": "Float64", "float": "Float32"}
"""Feast's names of those of its protobuf's types that are not simply capitalised."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class OnlineSide:
    """Feast's online store, asked for some features by their entity's key."""

    store: "FeatureStore"
    entity: str
    features: Sequence[Feature]

    def read(self, users: Sequence[str]) -> list[list[StoredValue]]:
        """For each feature what is held of each user, in their order; no row at all is `StoredValue()`."""
        answer = self.store.get_online_features(
            features=[f"{feature.view}:{feature.name}" for feature in self.features],
            entity_rows=[{self.entity: user} for user in users],
            full_feature_names=True,
        ).proto
        columns = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
        return [_column(columns[f"{feature.view}__{feature.name}"]) for feature in self.features]


def _column(column: Any) -> list[StoredValue]:
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    absent = FieldStatus.NOT_FOUND
    return [
        StoredValue() if status == absent else _held(value, moment)
        for value, status, moment in zip(column.values, column.statuses, column.event_timestamps, strict=True)
    ]


def _held(proto: Any, moment: Any) -> StoredValue:
    """A NaN is a null, as the service reads it."""
    as_of = EPOCH + timedelta(seconds=moment.seconds, microseconds=moment.nanos // 1000)
    field = proto.WhichOneof("val")
    value = getattr(proto, field) if field else None
    if value is None or value != value:
        return StoredValue(as_of)
    name = field.removesuffix("_val")
    return StoredValue(as_of, value, TYPES.get(name, name.capitalize()))
