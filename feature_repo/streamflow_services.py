"""The feature services: the features of each model. A use case refers to one by name."""

from feast import FeatureService
from streamflow_views import payments_agg_90d_fv, subs_profile_fv, support_agg_90d_fv, usage_agg_30d_fv, users_fv

churn_v1 = FeatureService(
    name="churn_v1",
    features=[
        subs_profile_fv[
            [
                "months_active",
                "monthly_fee",
                "paperless_billing",
                "plan_stream_tv",
                "plan_stream_movies",
                "net_service",
            ]
        ],
        usage_agg_30d_fv,
        payments_agg_90d_fv,
        support_agg_90d_fv,
    ],
    description="The fourteen features of the known baseline.",
)

churn_v2 = FeatureService(
    name="churn_v2",
    features=[
        subs_profile_fv,
        usage_agg_30d_fv[["watch_hours_30d", "unique_devices_30d", "skips_7d", "rebuffer_events_7d"]],
        payments_agg_90d_fv,
        support_agg_90d_fv[["support_tickets_90d"]],
        users_fv,
    ],
    description="All that is worth using: contract and total paid included, constant and filled-in columns left out.",
)
