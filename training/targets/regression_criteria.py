"""Contest of numbers -> the criteria of promotion that compare metrics.

A version is promoted only if its absolute error is smaller by the interval of the paired differences of the held-out
rows: than that of the median for a first version, than that of the version in Production for a later one."""

from functools import partial

import numpy as np

from asof.use_case import GateBounds
from training.metrics.regression import paired_mean
from training.targets.binary_criteria import Rule, difference_figures, interval_text
from training.targets.equivalence import or_equivalent
from training.targets.rules import Contest, Criterion

ENOUGH_ROWS = "enough held-out rows"


def comparison_criteria(contest: Contest, bounds: GateBounds, unit: str) -> tuple[Criterion, ...]:
    """With too few rows the only criterion is ENOUGH_ROWS, which fails."""
    if (rows := contest.labels.size) < bounds.min_rows:
        reason = f"{rows} rows are held out, at least {bounds.min_rows} are needed: promote when there are more labels"
        return (Criterion(ENOUGH_ROWS, False, {"rows": float(rows)}, reason),)
    return tuple(rule(contest, bounds) for rule in rules_for(contest, unit))


def rules_for(contest: Contest, unit: str = "") -> tuple[Rule, ...]:
    """The criteria of a first or of a later version, as functions."""
    return (partial(_below_constant if contest.champion is None else _below_champion, unit),)


def _below_constant(unit: str, contest: Contest, _: GateBounds) -> Criterion:
    return _smaller_error(contest, 0.0, unit, "a constant model's", "the median has")


def _below_champion(unit: str, contest: Contest, bounds: GateBounds) -> Criterion:
    smaller = _smaller_error(contest, bounds.error_margin, unit, "the version in Production's", "in Production")
    return or_equivalent(smaller, contest, bounds)


def _smaller_error(contest: Contest, margin: float, unit: str, whose: str, known_as: str) -> Criterion:
    """The mean absolute error is smaller by more than the margin, at the lower end of the 95 % interval."""
    theirs, ours = (np.abs(contest.labels - each) for each in (contest.champion_or_constant, contest.challenger))
    difference = paired_mean(theirs - ours)
    reason = (
        f"mean absolute error {ours.mean():.4g} {unit}, {known_as} {theirs.mean():.4g}; smaller by "
        f"{interval_text(difference)}, required: above {margin:+.4f} at the lower end"
    )
    figures = difference_figures(float(ours.mean()), float(theirs.mean()), difference)
    return Criterion(f"mean absolute error below {whose}", difference.low > margin, figures, reason)
