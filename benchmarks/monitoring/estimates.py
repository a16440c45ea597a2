"""The performance that is estimated without outcomes, beside the true one: where the inputs shift, and the concept."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.monitoring.windows import Window, same_users, version_of
from monitoring.statistics.estimated_performance import estimated_performance
from monitoring.statistics.measured import Measured
from training.metrics.classification import auc_estimate

SIZES: Mapping[int, int] = {7_043: 10, 30_000: 5}
"""Users, and how many seeds."""
QUICK_SIZES: Mapping[int, int] = {7_043: 3}
Shift = Callable[[int, int], tuple[Window, Window]]
"""Users and seed -> the window of the training and that of now."""


def hours_fall(users: int, seed: int) -> tuple[Window, Window]:
    """By half a standard deviation, a month before: the fall itself, which is no feature, moves the month in which it
    happens."""
    first, _, window = same_users(users, seed, 3, drift=0.5, drift_month=1)
    return first, window


def no_contracts(users: int, seed: int) -> tuple[Window, Window]:
    """Two of three users with a contract are no longer there."""
    first, window = same_users(users, seed, 2)
    chance = np.random.default_rng(seed).random(users)
    return first, window.part((window.columns["contract_type"] == "Month-to-month") | (chance < 1 / 3))


def old_users(users: int, seed: int) -> tuple[Window, Window]:
    """Users of two years are twenty times as common beside new ones as they were."""
    first, window = same_users(users, seed, 2)
    chance = np.random.default_rng(seed).random(users)
    return first, window.part(chance < 0.05 + 0.95 * np.minimum(window.columns["months_active"] / 24, 1))


def concept_changes(users: int, seed: int) -> tuple[Window, Window]:
    """Users leave for other reasons."""
    first, window = same_users(users, seed, 2, concept_change_month=1)
    return first, window


SHIFTS: Mapping[str, Shift] = {
    "watch hours fall": hours_fall,
    "fewer contracts": no_contracts,
    "fewer new users": old_users,
    "the concept changes": concept_changes,
}


def measure_estimates(
    progress: Callable[[str], None], *, sizes: Mapping[int, int] = SIZES
) -> Iterator[Mapping[str, Any]]:
    """A row for each shift and number of users: means over the seeds."""
    for name in SHIFTS:
        for users, seeds in sizes.items():
            progress(f"estimated performance, {name}, {users:,} users")
            yield _row(name, users, seeds)


def estimate(shift: Shift, users: int, seed: int) -> tuple[Measured, float, float]:
    """The estimated AUC, the true one, and that of the held-out users at the training."""
    first, window = shift(users, seed)
    version = version_of(first)
    scores = version.predict(window)
    figure = next(each for each in estimated_performance(scores, version.recalibrations) if each.metric == "auc")
    return figure, auc_estimate(window.labels, scores).value, version.estimates["auc"].value


def _row(name: str, users: int, seeds: int) -> Mapping[str, Any]:
    found = [estimate(SHIFTS[name], users, seed) for seed in range(seeds)]
    estimated, true, before = np.array([(each.value, true, before) for each, true, before in found], dtype=float).T
    held = sum((each.low or 0) <= true <= (each.high or 1) for each, true, _ in found)
    return {
        "shift": name,
        "users": users,
        "seeds": seeds,
        "AUC at training": round(float(before.mean()), 4),
        "true": round(float(true.mean()), 4),
        "estimated": round(float(estimated.mean()), 4),
        "mean error": round(float((estimated - true).mean()), 4),
        "greatest error": round(float(np.abs(estimated - true).max()), 4),
        "within its interval": f"{held} of {seeds}",
    }
