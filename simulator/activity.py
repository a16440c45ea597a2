"""Profile, last month's Activity, draws -> this month's Activity: what a user did, and how that came about."""

from dataclasses import dataclass

import numpy as np

from simulator.draws import Bools, Draws, Floats, Ints
from simulator.profile import Profile

WINDOW = 3
"""Months in the 90 days of failed payments and support tickets."""
HOURS_SPREAD = 6.0
"""Standard deviation of watch hours between users and months: the unit of SimulationPlan.drift."""
PERSISTENCE, SURPRISE = 0.6, 3.4
"""Watch hours wander around the user's usual level: first-order autoregression, hours."""
REBUFFERS = np.array([2.5, 2.1, 2.3])
"""A week, by net service, on an average line."""


@dataclass(frozen=True)
class Activity:
    """One row for each slot, shape (rows,); `failed` and `tickets` have a column for each month of the window.

    `hours_before` is last month's watch_hours, NaN for a user who was not there; `deviation` is this month's distance
    from the usual hours.
    """

    hours: Floats
    hours_before: Floats
    deviation: Floats
    session_minutes: Floats
    skips: Ints
    rebuffers: Ints
    failed: Ints
    tickets: Ints
    resolution: Floats


def nothing_yet(rows: int) -> Activity:
    """The activity before the first month."""
    unknown, none = np.full(rows, np.nan), np.zeros(rows, dtype=np.int64)
    window = np.zeros((rows, WINDOW), dtype=np.int64)
    return Activity(unknown, unknown, np.zeros(rows), unknown, none, none, window, window, unknown)


def next_month(users: Profile, last: Activity, draws: Draws, drift: float) -> Activity:
    """One month of every user; a user in the first month inherits nothing from the slot's last one.

    `drift` is how far the inputs have moved since the first month: watch hours are so many standard deviations lower,
    and rebuffers more by the factor exp(drift / 2).
    """
    new = users.months_active == 1
    deviation = PERSISTENCE * np.where(new, 0.0, last.deviation) + SURPRISE * draws.normal("hours")
    hours = np.clip(users.usual_hours + deviation - drift * HOURS_SPREAD, 0, 300).round(2)
    interruptions = REBUFFERS[users.net_service] * np.exp(0.35 * users.bad_line + drift / 2)
    rebuffers = draws.poisson("rebuffers", np.minimum(interruptions, 100))
    tickets = draws.poisson("tickets", 0.1 * np.exp(0.15 * np.minimum(rebuffers - 2.3, 8)))
    return Activity(
        hours=hours,
        hours_before=np.where(new, np.nan, last.hours),
        deviation=deviation,
        session_minutes=(29 * np.exp(0.02 * (np.minimum(hours, 60) - 30) + 0.25 * draws.normal("session"))).round(1),
        skips=draws.poisson("skips", 0.17 * hours),
        rebuffers=rebuffers,
        failed=_slide(last.failed, draws.poisson("failed", 0.038 * np.exp(0.8 * users.bad_payer)), new),
        tickets=_slide(last.tickets, tickets, new),
        resolution=np.maximum(users.usual_resolution + 1.5 * draws.normal("resolution"), 0.5).round(1),
    )


def _slide(window: Ints, newest: Ints, new: Bools) -> Ints:
    """The window one month on: shape (rows, WINDOW); of a new user nothing older is known."""
    kept = np.where(new[:, None], 0, window[:, 1:])
    return np.column_stack([kept, newest])
