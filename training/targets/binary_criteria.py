"""Contest of two classes -> the criteria of promotion that compare metrics, each with its figures and its reason.

A later version is promoted only if it is better. Its AUC must be superior, its log loss non-inferior within a margin,
as in clinical trials. Both models are measured on the same rows, so differences are paired
(`training.metrics.classification`). With too few rows of a class nothing is compared."""

from collections.abc import Callable

import numpy as np

from asof.use_case import GateBounds
from training.metrics.classification import (
    Estimate,
    auc_difference,
    auc_estimate,
    bins,
    calibration_error,
    mean_estimate,
    row_log_loss,
)
from training.targets.equivalence import or_equivalent
from training.targets.rules import Contest, Criterion

Rule = Callable[[Contest, GateBounds], Criterion]
CALIBRATION_DRAWS = 200
ENOUGH_ROWS = "enough held-out rows of both classes"


def comparison_criteria(contest: Contest, bounds: GateBounds) -> tuple[Criterion, ...]:
    """A first version must beat a constant model, a later one the version in Production.

    Where a class has too few rows, the only criterion is ENOUGH_ROWS, which fails.
    """
    negatives, positives = np.bincount(contest.labels, minlength=2).tolist()
    if min(positives, negatives) < bounds.min_rows_per_class:
        return (_too_few(positives, negatives, bounds.min_rows_per_class),)
    return tuple(rule(contest, bounds) for rule in rules_for(contest))


def rules_for(contest: Contest) -> tuple[Rule, ...]:
    """The criteria of a first or of a later version, as functions."""
    return FIRST_VERSION_RULES if contest.champion is None else LATER_VERSION_RULES


def better_than_constant(contest: Contest, _: GateBounds) -> Criterion:
    """The log loss is below that of the base rate."""
    loss = float(row_log_loss(contest.labels, contest.challenger).mean())
    constant = np.full(contest.labels.size, contest.constant)
    limit = float(row_log_loss(contest.labels, constant).mean())
    reason = f"log loss {loss:.4f}, a constant model has {limit:.4f}"
    return Criterion("log loss below a constant model's", loss < limit, {"challenger": loss, "constant": limit}, reason)


def better_than_chance(contest: Contest, _: GateBounds) -> Criterion:
    """The lower bound of the AUC's 95 % interval is above 0.5."""
    area = auc_estimate(contest.labels, contest.challenger)
    reason = f"AUC between {area.low:.4f} and {area.high:.4f}, chance is 0.5"
    return Criterion("AUC above chance", area.low > 0.5, {"low": area.low, "high": area.high}, reason)


def better_than_champion(contest: Contest, bounds: GateBounds) -> Criterion:
    """The AUC is above that of the version in Production, by more than the margin at the interval's lower end."""
    from sklearn.metrics import roc_auc_score

    champion = contest.champion_or_constant
    ours, theirs = (float(roc_auc_score(contest.labels, each)) for each in (contest.challenger, champion))
    difference = auc_difference(contest.labels, contest.challenger, champion)
    reason = (
        f"AUC {ours:.4f}, in Production {theirs:.4f}; difference {interval_text(difference)}, "
        f"required: above {bounds.auc_margin:+.4f} at the lower end"
    )
    figures = difference_figures(ours, theirs, difference)
    better = Criterion("AUC above the version in Production", difference.low > bounds.auc_margin, figures, reason)
    return or_equivalent(better, contest, bounds)


def no_worse_than_champion(contest: Contest, bounds: GateBounds) -> Criterion:
    """The log loss is not above that of the version in Production, but for the margin at the interval's upper end."""
    ours, theirs = (row_log_loss(contest.labels, each) for each in (contest.challenger, contest.champion_or_constant))
    difference = mean_estimate(contest.labels, ours - theirs)
    reason = (
        f"log loss {ours.mean():.4f}, in Production {theirs.mean():.4f}; difference {interval_text(difference)}, "
        f"required: below {bounds.log_loss_margin:+.4f} at the upper end"
    )
    figures = difference_figures(float(ours.mean()), float(theirs.mean()), difference)
    return Criterion("log loss no worse than in Production", difference.high < bounds.log_loss_margin, figures, reason)


def calibrated(contest: Contest, bounds: GateBounds) -> Criterion:
    """The expected calibration error is within its bound, or within the 97.5th percentile for a calibrated model.

    With 17 rows in each of ten bins a calibrated model has an error of 0.08, so that percentile is simulated: labels
    are drawn from the probabilities themselves.
    """
    error = calibration_error(contest.labels, contest.challenger)
    chance = _error_by_chance(contest)
    limit = max(bounds.calibration_error, chance)
    reason = f"expected calibration error {error:.4f}, at most {limit:.4f}; 97.5 % of what chance gives is {chance:.4f}"
    figures = {"error": error, "bound": bounds.calibration_error, "by_chance": chance}
    return Criterion("calibration within bounds", error <= limit, figures, reason)


def _error_by_chance(contest: Contest) -> float:
    generator, probabilities = np.random.default_rng(contest.seed), contest.challenger
    tenths, size = bins(probabilities), probabilities.size
    drawn = ((generator.random(size) < probabilities).astype(np.int64) for _ in range(CALIBRATION_DRAWS))
    return float(np.percentile([calibration_error(labels, probabilities, tenths) for labels in drawn], 97.5))


def _too_few(positives: int, negatives: int, least: int) -> Criterion:
    reason = (
        f"{positives} positives and {negatives} negatives are held out, at least {least} of each are "
        "needed: promote when there are more labels, or hold out a larger share"
    )
    return Criterion(ENOUGH_ROWS, False, {"positives": float(positives), "negatives": float(negatives)}, reason)


def interval_text(difference: Estimate) -> str:
    """A difference and its 95 % interval."""
    return f"{difference.value:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"


def difference_figures(ours: float, theirs: float, difference: Estimate) -> dict[str, float]:
    """The figures of a criterion that compares challenger and champion."""
    ends = {"difference_low": difference.low, "difference_high": difference.high}
    return {"challenger": ours, "champion": theirs, **ends}


FIRST_VERSION_RULES: tuple[Rule, ...] = (better_than_constant, better_than_chance, calibrated)
LATER_VERSION_RULES: tuple[Rule, ...] = (better_than_champion, no_worse_than_champion, calibrated)
