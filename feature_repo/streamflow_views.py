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
        Field(name="user_is_senior", dtype=Bool, description="is 65 or older"),
        Field(name="has_family", dtype=Bool, description="has a partner"),
        Field(name="has_dependents", dtype=Bool, description="has dependents"),
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
        Field(name="months_active", dtype=Int64, description="months since the user subscribed"),
        Field(name="monthly_fee", dtype=Float64, description="charged for the current month"),
        Field(name="total_paid", dtype=Float64, description="charged since the user subscribed"),
        Field(name="paperless_billing", dtype=Bool, description="gets bills by e-mail"),
        Field(name="contract_type", dtype=String, description="how long the contract binds"),
        Field(name="plan_stream_tv", dtype=String, description="yes, no, or not applicable (no internet)"),
        Field(name="plan_stream_movies", dtype=String, description="yes, no, or not applicable (no internet)"),
        Field(name="net_service", dtype=String, description="kind of internet access, or No"),
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
        Field(name="watch_hours_30d", dtype=Float64, description="hours watched in 30 days"),
        Field(name="avg_session_mins_7d", dtype=Float64, description="mean minutes of a session in 7 days"),
        Field(name="unique_devices_30d", dtype=Int64, description="devices used in 30 days"),
        Field(name="skips_7d", dtype=Int64, description="titles skipped in 7 days"),
        Field(name="rebuffer_events_7d", dtype=Int64, description="interruptions for buffering in 7 days"),
    ],
    source=usage_source,
    tags={"staleness": "refuse"},
    description="What the user watched in the last 30 days.",
)

payments_agg_90d_fv = FeatureView(
    name="payments_agg_90d_fv",
    entities=[user],
    ttl=MONTHLY,
    schema=[Field(name="failed_payments_90d", dtype=Int64, description="payments that failed in 90 days")],
    source=payments_source,
    tags={"staleness": "flag"},
    description="Failed payments of the last 90 days.",
)

support_agg_90d_fv = FeatureView(
    name="support_agg_90d_fv",
    entities=[user],
    ttl=MONTHLY,
    schema=[
        Field(name="support_tickets_90d", dtype=Int64, description="tickets opened in 90 days"),
        Field(
            name="ticket_avg_resolution_hrs_90d",
            dtype=Float64,
            description="mean hours until a ticket was resolved, in 90 days",
        ),
    ],
    source=support_source,
    tags={"staleness": "flag"},
    description="Support tickets of the last 90 days.",
)
