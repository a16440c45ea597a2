"""Contest -> the criteria of promotion that compare figures, each with its figures and its reason.

A later version is promoted if it is better, not if it is as good: what is in Production is known, and a change costs.
The intervals are those of a paired bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993): both
models are measured on the same resampled rows, and their difference is what varies. The AUC must be superior; the log
loss need only be non-inferior within a margin, as clinical trials call it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from asof.gate_bounds import GateBounds
from training.contest import Contest
from training.metrics import Floats, Labels, calibration_error, interval, resampled, row_log_loss

DRAWS = 200


@dataclass(frozen=True)
class Criterion:
    """One condition of promotion: whether it holds, the figures behind it, and a sentence for people."""

    name: str
    passed: bool
    figures: Mapping[str, float]
    reason: str


def judge(contest: Contest, bounds: GateBounds) -> tuple[Criterion, ...]:
    """All that apply: a first version must beat a constant model, a later one the version in Production."""
    applicable = FIRST if contest.champion is None else LATER
    return tuple(criterion(contest, bounds) for criterion in applicable)


def better_than_constant(contest: Contest, _: GateBounds) -> Criterion:
    """The log loss is below that of the base rate."""
    loss = float(row_log_loss(contest.labels, contest.challenger).mean())
    constant = np.full(contest.labels.size, contest.base_rate)
    limit = float(row_log_loss(contest.labels, constant).mean())
    reason = f"log loss {loss:.4f}, a constant model has {limit:.4f}"
    return Criterion("log loss below a constant model's", loss < limit, {"challenger": loss, "constant": limit}, reason)


def better_than_chance(contest: Contest, _: GateBounds) -> Criterion:
    """The lower bound of the AUC's 95 % interval is above 0.5."""
    low, high = interval(resampled(contest.labels, contest.challenger, seed=contest.seed)["auc"])
    reason = f"AUC between {low:.4f} and {high:.4f}, chance is 0.5"
    return Criterion("AUC above chance", low > 0.5, {"low": low, "high": high}, reason)


def better_than_champion(contest: Contest, bounds: GateBounds) -> Criterion:
    """The AUC is above that of the version in Production, by more than the margin at the interval's lower end."""
    ours, theirs = (_auc(contest.labels, each) for each in (contest.challenger, _champion(contest)))
    low, high = _difference(contest, "auc")
    reason = (
        f"AUC {ours:.4f}, in Production {theirs:.4f}; difference {ours - theirs:+.4f} ({low:+.4f} to {high:+.4f}), "
        f"asked is more than {bounds.auc_margin:+.4f} at the lower end"
    )
    figures = {"challenger": ours, "champion": theirs, "difference_low": low, "difference_high": high}
    return Criterion("AUC above the version in Production", low > bounds.auc_margin, figures, reason)


def no_worse_than_champion(contest: Contest, bounds: GateBounds) -> Criterion:
    """The log loss is not above that of the version in Production, but for the margin at the interval's upper end."""
    sides = (contest.challenger, _champion(contest))
    ours, theirs = (float(row_log_loss(contest.labels, each).mean()) for each in sides)
    low, high = _difference(contest, "log_loss")
    reason = (
        f"log loss {ours:.4f}, in Production {theirs:.4f}; difference {ours - theirs:+.4f} "
        f"({low:+.4f} to {high:+.4f}), asked is less than {bounds.log_loss_margin:+.4f} at the upper end"
    )
    figures = {"challenger": ours, "champion": theirs, "difference_low": low, "difference_high": high}
    return Criterion("log loss no worse than in Production", high < bounds.log_loss_margin, figures, reason)


def calibrated(contest: Contest, bounds: GateBounds) -> Criterion:
    """The expected calibration error is within its bound, or within what chance gives a perfectly calibrated model.

    Ten bins of 17 rows are 0.08 off by chance alone, so what these probabilities would show, were they true, is drawn.
    """
    error = calibration_error(contest.labels, contest.challenger)
    chance = _error_by_chance(contest)
    limit = max(bounds.calibration_error, chance)
    reason = f"expected calibration error {error:.4f}, at most {limit:.4f}; 97.5 % of what chance gives is {chance:.4f}"
    figures = {"error": error, "bound": bounds.calibration_error, "by_chance": chance}
    return Criterion("calibration within bounds", error <= limit, figures, reason)


def _error_by_chance(contest: Contest) -> float:
    generator, told = np.random.default_rng(contest.seed), contest.challenger
    drawn = ((generator.random(told.size) < told).astype(np.int64) for _ in range(DRAWS))
    return float(np.percentile([calibration_error(labels, told) for labels in drawn], 97.5))


def _difference(contest: Contest, figure: str) -> tuple[float, float]:
    sides = (contest.challenger, _champion(contest))
    ours, theirs = (resampled(contest.labels, each, seed=contest.seed)[figure] for each in sides)
    return interval(ours - theirs)


def _champion(contest: Contest) -> Floats:
    return contest.champion if contest.champion is not None else np.full(contest.labels.size, contest.base_rate)


def _auc(labels: Labels, probabilities: Floats) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, probabilities))


Rule = Callable[[Contest, GateBounds], Criterion]
FIRST: tuple[Rule, ...] = (better_than_constant, better_than_chance, calibrated)
LATER: tuple[Rule, ...] = (better_than_champion, no_worse_than_champion, calibrated)
