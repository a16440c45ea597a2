"""The training set of churn_v2 as an expert would write it in SQL, read into the same kind of frame.

One LATERAL lookup in the primary key for each view and user. The alternative, one DISTINCT ON for each view with 256 MB
of work_mem and two parallel workers, took 19 s where this took 17.
"""

import pandas as pd
import psycopg
import pyarrow as arrow
from psycopg import sql

from asof.settings import Settings
from training.data.snapshots.reading.copy_query import copy_rows

QUERY = """
SELECT l.user_id, months_active, monthly_fee, total_paid, paperless_billing, contract_type,
       CASE WHEN net_service = 'No' THEN 'not applicable' WHEN tv THEN 'yes' WHEN NOT tv THEN 'no' END,
       CASE WHEN net_service = 'No' THEN 'not applicable' WHEN movies THEN 'yes' WHEN NOT movies THEN 'no' END,
       net_service, watch_hours_30d, unique_devices_30d, skips_7d, rebuffer_events_7d, failed_payments_90d,
       support_tickets_90d, user_is_senior, has_family, has_dependents, churn_label
FROM (SELECT DISTINCT ON (user_id) user_id, churn_label FROM labels
      WHERE as_of = {as_of} AND created_at <= {known_at} ORDER BY user_id, created_at DESC) AS l
LEFT JOIN LATERAL (
    SELECT months_active, monthly_fee, total_paid, paperless_billing, contract_type, plan_stream_tv AS tv,
           plan_stream_movies AS movies, net_service
    FROM subscriptions WHERE user_id = l.user_id AND created_at <= {known_at}
      AND as_of BETWEEN timestamptz {as_of} - interval '45 days' AND {as_of}
    ORDER BY as_of DESC, created_at DESC LIMIT 1) AS s ON true
LEFT JOIN LATERAL (
    SELECT watch_hours_30d, unique_devices_30d, skips_7d, rebuffer_events_7d
    FROM usage_agg_30d WHERE user_id = l.user_id AND created_at <= {known_at}
      AND as_of BETWEEN timestamptz {as_of} - interval '45 days' AND {as_of}
    ORDER BY as_of DESC, created_at DESC LIMIT 1) AS u ON true
LEFT JOIN LATERAL (
    SELECT failed_payments_90d
    FROM payments_agg_90d WHERE user_id = l.user_id AND created_at <= {known_at}
      AND as_of BETWEEN timestamptz {as_of} - interval '45 days' AND {as_of}
    ORDER BY as_of DESC, created_at DESC LIMIT 1) AS p ON true
LEFT JOIN LATERAL (
    SELECT support_tickets_90d
    FROM support_agg_90d WHERE user_id = l.user_id AND created_at <= {known_at}
      AND as_of BETWEEN timestamptz {as_of} - interval '45 days' AND {as_of}
    ORDER BY as_of DESC, created_at DESC LIMIT 1) AS t ON true
LEFT JOIN LATERAL (
    SELECT user_is_senior, has_family, has_dependents
    FROM users WHERE user_id = l.user_id AND created_at <= {known_at}
      AND as_of BETWEEN timestamptz {as_of} - interval '400 days' AND {as_of}
    ORDER BY as_of DESC, created_at DESC LIMIT 1) AS w ON true
ORDER BY l.user_id
"""
NUMBER, COUNT, TEXT, FLAG = arrow.float64(), arrow.int64(), arrow.large_string(), arrow.bool_()
COLUMNS = {
    "user_id": TEXT,
    "months_active": COUNT,
    "monthly_fee": NUMBER,
    "total_paid": NUMBER,
    "paperless_billing": FLAG,
    "contract_type": TEXT,
    "plan_stream_tv": TEXT,
    "plan_stream_movies": TEXT,
    "net_service": TEXT,
    "watch_hours_30d": NUMBER,
    "unique_devices_30d": COUNT,
    "skips_7d": COUNT,
    "rebuffer_events_7d": COUNT,
    "failed_payments_90d": COUNT,
    "support_tickets_90d": COUNT,
    "user_is_senior": FLAG,
    "has_family": FLAG,
    "has_dependents": FLAG,
    "churn_label": FLAG,
}


def joined_by_hand(settings: Settings, *, as_of: str, known_at: str) -> tuple[arrow.Table, pd.DataFrame]:
    """The rows, and the frame made of them."""
    query = sql.SQL(QUERY).format(as_of=sql.Literal(as_of), known_at=sql.Literal(known_at))
    with psycopg.connect(settings.conninfo()) as connection:
        rows = arrow.concat_tables(copy_rows(connection, query, COLUMNS))
    kept = {FLAG: pd.BooleanDtype(), COUNT: pd.Int64Dtype()}
    return rows, rows.to_pandas(types_mapper=kept.get)
