"""The Feast file of the use case `watching`: two stored views."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Float64, Int64, String

watcher = Entity(name="watcher", join_keys=["user_id"], value_type=ValueType.STRING)


def _view(table: str, *schema: Field) -> FeatureView:
    source = PostgreSQLSource(name=table, table=table, timestamp_field="as_of", created_timestamp_column="created_at")
    return FeatureView(name=f"{table}_fv", entities=[watcher], ttl=timedelta(days=45), schema=[*schema], source=source)


watch_users_fv = _view("watch_users", Field(name="months_active", dtype=Int64), Field(name="net_service", dtype=String))
watch_usage_fv = _view(
    "watch_usage", Field(name="watch_hours_30d", dtype=Float64), Field(name="unique_devices_30d", dtype=Int64)
)

watching_v1 = FeatureService(name="watching_v1", features=[watch_users_fv, watch_usage_fv])
