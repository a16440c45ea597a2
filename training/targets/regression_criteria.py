"""Contest of numbers -> the criteria of promotion that compare metrics.

A version is promoted only if its absolute error is smaller, by a paired bootstrap of the held-out rows: than that of
the median for a first version, than that of the version in Production for a later one."""

import numpy as np

from asof.use_case import GateBounds
from training.metrics.bootstrap import mean_by_bootstrap
from training.targets.binary_criteria import difference_figures, interval_text
from training.targets.rules import Contest, Criterion

MIN_ROWS = 30
ENOUGH_ROWS = "enough held-out rows"


def comparison_criteria(contest: Contest, bounds: GateBounds, unit: str) -> tuple[Criterion, ...]:
    """With too few rows the only criterion is ENOUGH_ROWS, which fails."""
    if (rows := contest.labels.size) < MIN_ROWS:
        reason = f"{rows} rows are held out, at least {MIN_ROWS} are needed: promote when there are more labels"
        return (Criterion(ENOUGH_ROWS, False, {"rows": float(rows)}, reason),)
    if contest.champion is None:
        return (_smaller_error(contest, 0.0, unit, "a constant model's", "the median has"),)
    return (_smaller_error(contest, bounds.error_margin, unit, "the version in Production's", "in Production"),)


def _smaller_error(contest: Contest, margin: float, unit: str, whose: str, known_as: str) -> Criterion:
    """The mean absolute error is smaller by more than the margin, at the lower end of the 95 % interval."""
    theirs, ours = (np.abs(contest.labels - each) for each in (contest.champion_or_constant, contest.challenger))
    difference = mean_by_bootstrap(theirs - ours)
    reason = (
        f"mean absolute error {ours.mean():.4g} {unit}, {known_as} {theirs.mean():.4g}; smaller by "
        f"{interval_text(difference)}, required: above {margin:+.4f} at the lower end"
    )
    figures = difference_figures(float(ours.mean()), float(theirs.mean()), difference)
    return Criterion(f"mean absolute error below {whose}", difference.low > margin, figures, reason)
