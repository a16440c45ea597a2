"""Contest of several classes -> the criteria of promotion that compare metrics, as `binary_criteria` for two.

The macro AUC must be superior by its interval, the log loss non-inferior within a margin, the classwise
calibration error within its bound or what chance gives. Every class needs enough held-out rows."""

from collections.abc import Sequence

import numpy as np

from asof.use_case import GateBounds
from training.metrics.classification import Estimate, Floats, Labels, stratified_mean
from training.metrics.multiclass import (
    classwise_calibration_error,
    macro_auc,
    macro_auc_difference,
    macro_auc_estimate,
    row_log_loss,
)
from training.targets.binary_criteria import (
    CALIBRATION_DRAWS,
    Rule,
    difference_figures,
    interval_text,
)
from training.targets.equivalence import or_equivalent
from training.targets.rules import Contest, Criterion

ENOUGH_ROWS = "enough held-out rows of every class"


def comparison_criteria(contest: Contest, bounds: GateBounds, classes: Sequence[str]) -> tuple[Criterion, ...]:
    """A first version must beat a constant model, a later one the version in Production.

    Where a class has too few rows, the only criterion is ENOUGH_ROWS, which fails.
    """
    counts = np.bincount(contest.labels, minlength=len(classes))
    if counts.min() < bounds.min_rows_per_class:
        return (_too_few(counts, classes, bounds.min_rows_per_class),)
    return tuple(rule(contest, bounds) for rule in rules_for(contest))


def rules_for(contest: Contest) -> tuple[Rule, ...]:
    """The criteria of a first or of a later version, as functions."""
    if contest.champion is None:
        return better_than_constant, better_than_chance, calibrated
    return better_than_champion, no_worse_than_champion, calibrated


def better_than_constant(contest: Contest, _: GateBounds) -> Criterion:
    """The log loss is below that of the classes' shares."""
    ours, theirs = (
        float(row_log_loss(contest.labels, each).mean()) for each in (contest.challenger, contest.champion_or_constant)
    )
    reason = f"log loss {ours:.4f}, a constant model has {theirs:.4f}"
    return Criterion(
        "log loss below a constant model's", ours < theirs, {"challenger": ours, "constant": theirs}, reason
    )


def better_than_chance(contest: Contest, _: GateBounds) -> Criterion:
    """The lower end of the macro AUC's 95 % interval is above 0.5."""
    area = macro_auc_estimate(contest.labels, contest.challenger)
    reason = f"macro AUC between {area.low:.4f} and {area.high:.4f}, chance is 0.5"
    return Criterion("macro AUC above chance", area.low > 0.5, {"low": area.low, "high": area.high}, reason)


def better_than_champion(contest: Contest, bounds: GateBounds) -> Criterion:
    """The macro AUC is above that of the version in Production, by more than the margin at the interval's lower end."""
    champion = contest.champion_or_constant
    ours, theirs = (macro_auc(contest.labels, each) for each in (contest.challenger, champion))
    difference = macro_auc_difference(contest.labels, contest.challenger, champion)
    reason = (
        f"macro AUC {ours:.4f}, in Production {theirs:.4f}; difference {interval_text(difference)}, "
        f"required: above {bounds.auc_margin:+.4f} at the lower end"
    )
    name, figures = "macro AUC above the version in Production", difference_figures(ours, theirs, difference)
    return or_equivalent(Criterion(name, difference.low > bounds.auc_margin, figures, reason), contest, bounds)


def no_worse_than_champion(contest: Contest, bounds: GateBounds) -> Criterion:
    """The log loss is not above that of the version in Production, but for the margin at the interval's upper end."""
    ours, theirs = (row_log_loss(contest.labels, each) for each in (contest.challenger, contest.champion_or_constant))
    difference: Estimate = stratified_mean(contest.labels, ours - theirs)
    reason = (
        f"log loss {ours.mean():.4f}, in Production {theirs.mean():.4f}; difference {interval_text(difference)}, "
        f"required: below {bounds.log_loss_margin:+.4f} at the upper end"
    )
    figures = difference_figures(float(ours.mean()), float(theirs.mean()), difference)
    return Criterion("log loss no worse than in Production", difference.high < bounds.log_loss_margin, figures, reason)


def calibrated(contest: Contest, bounds: GateBounds) -> Criterion:
    """The classwise calibration error is within its bound, or within the 97.5th percentile for a calibrated model."""
    error = classwise_calibration_error(contest.labels, contest.challenger)
    chance = _error_by_chance(contest.challenger, contest.seed)
    limit = max(bounds.calibration_error, chance)
    reason = (
        f"classwise calibration error {error:.4f}, at most {limit:.4f}; 97.5 % of what chance gives is {chance:.4f}"
    )
    figures = {"error": error, "bound": bounds.calibration_error, "by_chance": chance}
    return Criterion("calibration within bounds", error <= limit, figures, reason)


def _error_by_chance(probabilities: Floats, seed: int) -> float:
    generator, ends = np.random.default_rng(seed), probabilities.cumsum(axis=1)
    errors = [classwise_calibration_error(_drawn(ends, generator), probabilities) for _ in range(CALIBRATION_DRAWS)]
    return float(np.percentile(errors, 97.5))


def _drawn(ends: Floats, generator: np.random.Generator) -> Labels:
    """A class for each row, drawn with its probabilities, whose cumulated sums are `ends`."""
    codes = (generator.random(len(ends))[:, None] >= ends).sum(axis=1)
    return np.asarray(np.minimum(codes, ends.shape[1] - 1), dtype=np.int64)


def _too_few(counts: Labels, classes: Sequence[str], least: int) -> Criterion:
    by_name = dict(zip(classes, counts.tolist(), strict=True))
    listed = ", ".join(f"{count} {name}" for name, count in by_name.items())
    reason = (
        f"{listed} are held out, at least {least} of each are needed: promote when there are more labels, "
        "or hold out a larger share"
    )
    return Criterion(ENOUGH_ROWS, False, {name: float(count) for name, count in by_name.items()}, reason)
