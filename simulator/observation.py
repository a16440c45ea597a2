"""Profile and Activity -> Rows: the columns of the extract, named and valued as in the raw schema.

`months_active` counts the months begun, 1 in the month of sign-up; each is paid for when it begins.
`ticket_avg_resolution_hrs_90d` is always filled, as in the real extracts: without tickets it is the time that is
usual where the user lives, so that every user can be scored.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.use_cases.churn.raw_schema import CONTRACTS, NET_SERVICES
from simulator.activity import Activity
from simulator.profile import NO_NET, Profile
from simulator.user_ids import user_ids

Rows = Mapping[str, NDArray[Any]]
"""Column name -> values, all of one length. A masked value is an empty field: not applicable."""


def observe(users: Profile, activity: Activity) -> Rows:
    """One row for each slot, all columns of all tables but the labels."""
    offline = users.net_service == NO_NET
    return {
        "user_id": user_ids(users.number),
        "signup_date": users.signup_day,
        "user_gender": np.where(users.male, "Male", "Female"),
        "user_is_senior": users.senior,
        "has_family": users.family,
        "has_dependents": users.dependents,
        "months_active": users.months_active,
        "plan_stream_tv": np.ma.array(users.tv, mask=offline),
        "plan_stream_movies": np.ma.array(users.movies, mask=offline),
        "contract_type": np.array(CONTRACTS)[users.contract],
        "paperless_billing": users.paperless,
        "monthly_fee": users.fee / 100,
        "total_paid": users.paid / 100,
        "net_service": np.array(NET_SERVICES)[users.net_service],
        "watch_hours_30d": activity.hours,
        "avg_session_mins_7d": activity.session_minutes,
        "unique_devices_30d": users.devices,
        "skips_7d": activity.skips,
        "rebuffer_events_7d": activity.rebuffers,
        "failed_payments_90d": activity.failed.sum(axis=1),
        "support_tickets_90d": activity.tickets.sum(axis=1),
        "ticket_avg_resolution_hrs_90d": activity.resolution,
    }
