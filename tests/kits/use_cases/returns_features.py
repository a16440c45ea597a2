"""The Feast file of the use case `returns`: a stored view, and a service without the given features."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Int64, String

customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)

shop_customers_fv = FeatureView(
    name="shop_customers_fv",
    entities=[customer],
    ttl=timedelta(days=45),
    schema=[Field(name="orders_90d", dtype=Int64), Field(name="city", dtype=String)],
    source=PostgreSQLSource(
        name="shop_customers",
        table="shop_customers",
        timestamp_field="as_of",
        created_timestamp_column="created_at",
    ),
)

returns_v1 = FeatureService(name="returns_v1", features=[shop_customers_fv])
