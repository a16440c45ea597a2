"""Ceiling of Feast's Redis store: all features of each user by one HMGET, all HMGETs in one pipeline, decoded.

The keys, fields and values are Feast's: a hash for each entity, with protobufs of the values and a timestamp a view.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feast import FeatureStore

Pairs = Sequence[tuple[str, str]]
"""View and feature."""


class HmgetReader:
    """On the connection of the store's client."""

    def __init__(self, store: "FeatureStore", pairs: Pairs) -> None:
        from feast.infra.online_stores.helpers import _mmh3

        online: Any = store.provider.online_store
        self._client, self._store, self._pairs = online._get_client(store.config.online_store), store, pairs
        views = dict.fromkeys(view for view, _ in pairs)
        self._fields = [*(_mmh3(f"{view}:{feature}") for view, feature in pairs), *(f"_ts:{view}" for view in views)]

    async def read(self, users: Sequence[str]) -> list[list[Any]]:
        """For each user the values, and after them the views' timestamps."""
        from feast.protos.feast.types.Value_pb2 import Value
        from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]

        with self._client.pipeline(transaction=False) as pipeline:
            for user in users:
                pipeline.hmget(self._key(user), self._fields)
            rows, count = pipeline.execute(), len(self._pairs)
        return [
            [*map(_decoded, map(Value.FromString, row[:count])), *map(Timestamp.FromString, row[count:])]
            for row in rows
        ]

    def values(self, rows: list[list[Any]]) -> dict[str, list[Any]]:
        """The values of each feature."""
        columns = zip(*rows, strict=True)
        return {feature: list(column) for (_, feature), column in zip(self._pairs, columns, strict=False)}

    def _key(self, user: str) -> bytes:
        from feast.infra.online_stores.helpers import _redis_key
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import Value

        key = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user)])
        version = self._store.config.entity_key_serialization_version
        return bytes(_redis_key(self._store.project, key, entity_key_serialization_version=version))


def _decoded(value: Any) -> Any:
    kind = value.WhichOneof("val")
    return getattr(value, kind) if kind else None
