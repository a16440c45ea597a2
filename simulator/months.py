"""Simulates the months of a range of slots: what is observed in each, and then who leaves."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simulator.activity import next_month, nothing_yet
from simulator.draws import Bools, Draws, Floats
from simulator.hazard import CHANGED, NOISE, USUAL, Hazard, hazard_inputs, hours_fallen
from simulator.observation import Rows, observe
from simulator.plan import SimulationPlan
from simulator.profile import opening, renewed

WARM_UP = 12
"""Simulated months before the first one written, after which the mix of new and old users is stable."""


@dataclass(frozen=True)
class Month:
    """One month of the slots of `draws`, every array of shape (rows,). `index` counts from the first extract.

    `rows` are the true values; `probability` is that of leaving in the month after, `left` the outcome.
    """

    index: int
    draws: Draws
    rows: Rows
    hours_fallen: Floats
    logit: Floats
    noise: Floats
    probability: Floats
    left: Bools


def hazard_in(plan: SimulationPlan, month: int) -> Hazard:
    changed = plan.concept_change_month is not None and month >= plan.concept_change_month
    return CHANGED if changed else USUAL


def simulate_months(plan: SimulationPlan, first: int, rows: int) -> Iterator[Month]:
    """The months of the slots `first` to `first + rows`, in order; a slot is the same in any range."""
    left, activity, users = np.zeros(rows, dtype=bool), nothing_yet(rows), None
    for index in range(-WARM_UP, plan.months):
        draws, as_of = Draws(plan.seed, index + WARM_UP, first, rows), plan.as_of(index)
        users = renewed(users, left, draws, as_of) if users else opening(draws, as_of)
        activity = next_month(users, activity, draws, plan.drift_in(index))
        fallen = hours_fallen(activity.hours, activity.hours_before)
        month = _outcome(hazard_in(plan, index), draws, index, observe(users, activity), fallen)
        left = month.left
        if index >= 0:
            yield month


def _outcome(hazard: Hazard, draws: Draws, index: int, rows: Rows, fallen: Floats) -> Month:
    """Who leaves is drawn last, from draws of their own: features depend on it only through the hazard."""
    logit, noise = hazard.logit(hazard_inputs(rows, fallen)), NOISE * draws.normal("noise")
    probability = 1 / (1 + np.exp(-(logit + noise)))
    left = draws.chance("left", probability)
    return Month(index, draws, rows, fallen, logit, noise, probability, left)
