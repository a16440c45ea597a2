"""What users do in a month, from their Profile, the Activity of the month before and random draws."""

from dataclasses import dataclass

import numpy as np

from simulator.draws import Bools, Draws, Floats, Ints
from simulator.profile import Profile

WINDOW = 3
"""Months in the 90 days of failed payments and support tickets."""
HOURS_SPREAD = 6.0
"""Standard deviation of watch hours between users and months: the unit of SimulationPlan.drift."""
PERSISTENCE, SURPRISE = 0.6, 3.4
"""Coefficient and standard deviation (hours) of the first-order autoregression of watch hours."""
REBUFFERS = np.array([2.5, 2.1, 2.3])
"""Per week on an average line, by net service."""


@dataclass(frozen=True)
class Activity:
    """One row for each slot, shape (rows,); `failed` and `tickets` have a column for each month of the window.

    `hours_before` are the watch hours of the month before, NaN for a new user; `deviation` is the distance of this
    month's hours from the user's usual hours.
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
    """One month of every user; a new user inherits nothing from the slot's previous one.

    `drift` is the change of the inputs since the first month: watch hours are lower by so many standard deviations, and
    rebuffers higher by the factor exp(drift / 2).
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
    """The window a month later, shape (rows, WINDOW); zero before the sign-up."""
    kept = np.where(new[:, None], 0, window[:, 1:])
    return np.column_stack([kept, newest])
