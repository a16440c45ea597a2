"""The StreamFlow extracts: six CSV files a month, each with one row per user."""

from typing import TYPE_CHECKING

from asof.extracts.schema import Column, ExtractSchema, Kind, RawTable, Rule

if TYPE_CHECKING:
    import pandas as pd

USER_ID = Column("user_id", Kind.TEXT)
NO_INTERNET = "No"
CONTRACTS = ("Month-to-month", "One year", "Two year")
NET_SERVICES = ("DSL", "Fiber optic", NO_INTERNET)


def _plans_are_empty_exactly_without_internet(rows: "pd.DataFrame") -> "pd.Series[bool]":
    without = rows["net_service"].eq(NO_INTERNET)
    return rows["plan_stream_tv"].isna().eq(without) & rows["plan_stream_movies"].isna().eq(without)


USERS = RawTable(
    "users",
    (
        USER_ID,
        Column("signup_date", Kind.DATE),
        Column("user_gender", Kind.TEXT, allowed=("Female", "Male")),
        Column("user_is_senior", Kind.BOOLEAN),
        Column("has_family", Kind.BOOLEAN),
        Column("has_dependents", Kind.BOOLEAN),
    ),
)

SUBSCRIPTIONS = RawTable(
    "subscriptions",
    (
        USER_ID,
        Column("months_active", Kind.INTEGER, minimum=0, maximum=1200),
        Column("plan_stream_tv", Kind.BOOLEAN, nullable=True),
        Column("plan_stream_movies", Kind.BOOLEAN, nullable=True),
        Column("contract_type", Kind.TEXT, allowed=CONTRACTS),
        Column("paperless_billing", Kind.BOOLEAN),
        Column("monthly_fee", Kind.NUMBER, minimum=0, maximum=10_000),
        Column("total_paid", Kind.NUMBER, minimum=0),
        Column("net_service", Kind.TEXT, allowed=NET_SERVICES),
    ),
    rules=(
        Rule(
            "streaming plans are empty exactly where there is no internet",
            ("plan_stream_tv", "plan_stream_movies", "net_service"),
            _plans_are_empty_exactly_without_internet,
        ),
    ),
)

USAGE = RawTable(
    "usage_agg_30d",
    (
        USER_ID,
        Column("watch_hours_30d", Kind.NUMBER, minimum=0, maximum=720),
        Column("avg_session_mins_7d", Kind.NUMBER, minimum=0, maximum=10_080),
        Column("unique_devices_30d", Kind.INTEGER, minimum=0, maximum=1000),
        Column("skips_7d", Kind.INTEGER, minimum=0),
        Column("rebuffer_events_7d", Kind.INTEGER, minimum=0),
    ),
)

PAYMENTS = RawTable("payments_agg_90d", (USER_ID, Column("failed_payments_90d", Kind.INTEGER, minimum=0)))

SUPPORT = RawTable(
    "support_agg_90d",
    (
        USER_ID,
        Column("support_tickets_90d", Kind.INTEGER, minimum=0),
        Column("ticket_avg_resolution_hrs_90d", Kind.NUMBER, nullable=True, minimum=0),
    ),
)

LABELS = RawTable("labels", (USER_ID, Column("churn_label", Kind.BOOLEAN)))

EXTRACT = ExtractSchema(
    entity="user_id",
    entity_table="users",
    tables=(USERS, SUBSCRIPTIONS, USAGE, PAYMENTS, SUPPORT),
    labels=LABELS,
    label="churn_label",
)
