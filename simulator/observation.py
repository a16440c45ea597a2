"""The columns of the extract from Profile and Activity, named as in the raw schema.

`months_active` is 1 in the month of sign-up; each month is paid at its beginning. `ticket_avg_resolution_hrs_90d` is
always filled, as in the real extracts: without tickets it is the usual time at the user's place.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.use_cases.churn.raw_schema import CONTRACTS, NET_SERVICES
from simulator.activity import Activity
from simulator.draws import Ints
from simulator.profile import NO_NET, Profile

Rows = Mapping[str, NDArray[Any]]
"""Values by column name, all of one length. A masked value is an empty field: not applicable."""

DIGITS, LETTERS, ROUNDS = 10**4, 26**5, 3
"""Of user ids such as 4821-QRTXA, and of the Feistel network that makes them."""


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


def user_ids(numbers: Ints) -> NDArray[np.bytes_]:
    """ASCII ids of ten bytes, shape (rows,), for numbers from 0 up to DIGITS * LETTERS.

    A Feistel network over both halves of an id: each round adds a hash of one half to the other. It is reversible, so
    that ids are unique, and hides the order of the numbers.
    """
    digits, letters = numbers // LETTERS, numbers % LETTERS
    for number in range(ROUNDS):
        digits = (digits + _mixed(letters, 2 * number) % DIGITS) % DIGITS
        letters = (letters + _mixed(digits, 2 * number + 1) % LETTERS) % LETTERS
    text = np.full((len(numbers), 10), ord("-"), dtype=np.uint8)
    for position in range(4):
        text[:, position] = ord("0") + digits // 10 ** (3 - position) % 10
    for position in range(5):
        text[:, 5 + position] = ord("A") + letters // 26 ** (4 - position) % 26
    return text.reshape(-1).view("S10")


def _mixed(values: Ints, salt: int) -> Ints:
    """A hash of each value, not negative: the finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    word = values.astype(np.uint64) + np.uint64(salt * 0x9E3779B97F4A7C15 % 2**64)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((word ^ (word >> np.uint64(31))) >> np.uint64(1)).astype(np.int64)
