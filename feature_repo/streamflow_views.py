"""The feature views, shared by every model that needs them.

A view's `ttl` is the greatest age at which its values may be used, offline and online. Its tag `staleness` sets what
the service does beyond that: `refuse` answers 503, `flag` answers with a verdict. Extracts come monthly: a value is up
to 31 days old when the next one arrives, which may be two weeks late.
"""

from datetime import timedelta

from feast import FeatureView, Field
from feast.types import Bool, Float64, Int64, String
from streamflow_entities import user
from streamflow_sources import payments_source, subscriptions_source, support_source, usage_source, users_source

MONTHLY = timedelta(days=45)

users_fv = FeatureView(
    name="users_fv",
    entities=[user],
    ttl=timedelta(days=400),
    schema=[
        Field(name="user_is_senior", dtype=Bool),
        Field(name="has_family", dtype=Bool),
        Field(name="has_dependents", dtype=Bool),
    ],
    source=users_source,
    tags={"staleness": "flag"},
    description="Who the user is; changes rarely. Gender and the sign-up date are left out: see docs/why.md.",
)

subs_profile_fv = FeatureView(
    name="subs_profile_fv",
    entities=[user],
    ttl=MONTHLY,
    schema=[
        Field(name="months_active", dtype=Int64),
        Field(name="monthly_fee", dtype=Float64),
        Field(name="total_paid", dtype=Float64),
        Field(name="paperless_billing", dtype=Bool),
        Field(name="contract_type", dtype=String),
        Field(name="plan_stream_tv", dtype=String, description="yes, no, or not applicable (no internet)"),
        Field(name="plan_stream_movies", dtype=String, description="yes, no, or not applicable (no internet)"),
        Field(name="net_service", dtype=String),
    ],
    source=subscriptions_source,
    tags={"staleness": "refuse"},
    description="The subscription: contract, plans, fees.",
)

usage_agg_30d_fv = FeatureView(
    name="usage_agg_30d_fv",
    entities=[user],
    ttl=MONTHLY,
    schema=[
        Field(name="watch_hours_30d", dtype=Float64),
        Field(name="avg_session_mins_7d", dtype=Float64),
        Field(name="unique_devices_30d", dtype=Int64),
        Field(name="skips_7d", dtype=Int64),
        Field(name="rebuffer_events_7d", dtype=Int64),
    ],
    source=usage_source,
    tags={"staleness": "refuse"},
    description="What the user watched in the last 30 days.",
)

payments_agg_90d_fv = FeatureView(
    name="payments_agg_90d_fv",
    entities=[user],
    ttl=MONTHLY,
    schema=[Field(name="failed_payments_90d", dtype=Int64)],
    source=payments_source,
    tags={"staleness": "flag"},
    description="Failed payments of the last 90 days.",
)

support_agg_90d_fv = FeatureView(
    name="support_agg_90d_fv",
    entities=[user],
    ttl=MONTHLY,
    schema=[
        Field(name="support_tickets_90d", dtype=Int64),
        Field(name="ticket_avg_resolution_hrs_90d", dtype=Float64),
    ],
    source=support_source,
    tags={"staleness": "flag"},
    description="Support tickets of the last 90 days.",
)
