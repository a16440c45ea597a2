"""The sources of the features: the append-only snapshot tables, with both of their times.

Tables are named without a schema, so that `training.data.snapshots.reading.known_at` can put its own schema first on
the search path, to read them as they were known at an earlier moment.
"""

from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource

TIMES = {"timestamp_field": "as_of", "created_timestamp_column": "created_at"}

# "Not applicable" is a value: a user without internet has no streaming plan. Any other empty plan stays NULL (missing).
PLAN = """CASE WHEN net_service = 'No' THEN 'not applicable' WHEN {0} THEN 'yes' WHEN NOT {0} THEN 'no' END AS {0}"""

SUBSCRIPTIONS = f"""
SELECT user_id, as_of, created_at, months_active, contract_type, paperless_billing, monthly_fee, total_paid,
       net_service,
       {PLAN.format("plan_stream_tv")},
       {PLAN.format("plan_stream_movies")}
FROM subscriptions
"""

users_source = PostgreSQLSource(name="users", table="users", **TIMES)
subscriptions_source = PostgreSQLSource(name="subscriptions", query=SUBSCRIPTIONS, **TIMES)
usage_source = PostgreSQLSource(name="usage_agg_30d", table="usage_agg_30d", **TIMES)
payments_source = PostgreSQLSource(name="payments_agg_90d", table="payments_agg_90d", **TIMES)
support_source = PostgreSQLSource(name="support_agg_90d", table="support_agg_90d", **TIMES)
