"""The features of Renewals, written by `flows new`: entity, sources, views and the model's service.

A view's `ttl` is the greatest age at which its values may be used, offline and online. Its tag `staleness` sets what
the service does beyond that: `refuse` answers 503, `flag` answers with a verdict.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Float64, Int64, String

MAX_AGE = timedelta(days=45)

renewals_user = Entity(name="renewals_user", join_keys=["user"], value_type=ValueType.INT64)
renewals_device = Entity(name="renewals_device", join_keys=["device"], value_type=ValueType.STRING)

renewals_pairs_source = PostgreSQLSource(
    name="renewals_pairs", table="renewals_pairs", timestamp_field="as_of", created_timestamp_column="created_at"
)
renewals_pairs_fv = FeatureView(
    name="renewals_pairs_fv",
    entities=[renewals_user, renewals_device],
    ttl=MAX_AGE,
    schema=[
        Field(name="total_spend", dtype=Float64, description="Total Spend"),
        Field(name="visits", dtype=Int64, description="visits"),
        Field(name="plan", dtype=String, description="plan"),
    ],
    source=renewals_pairs_source,
    tags={"staleness": "refuse"},
)

renewals_v1 = FeatureService(
    name="renewals_v1",
    features=[renewals_pairs_fv],
    description="All features of Renewals.",
)

# Loaded, but no features:
# renewals_pairs.last_seen: no feature: it is constant
