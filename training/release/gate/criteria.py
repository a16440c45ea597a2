"""Contest -> the criteria of promotion that compare figures, each with its figures and its reason.

A later version is promoted if it is better, not if it is as good: what is in Production is known, and a change costs.
The AUC must be superior; the log loss need only be non-inferior within a margin, as clinical trials call it. Both
models are measured on the same rows, and the difference on each row is what varies (`training.metrics.classification`).
With a class of fewer than FEWEST rows nothing is compared: what so few rows do not show is not known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from asof.use_case import GateBounds
from training.metrics.classification import (
    Estimate,
    Floats,
    auc_difference,
    auc_estimate,
    bins,
    calibration_error,
    mean_estimate,
    row_log_loss,
)
from training.release.gate.contest import Contest

DRAWS = 200
FEWEST = 15
"""Held-out rows of each class that a comparison takes."""
ENOUGH = "enough held-out rows of both classes"


@dataclass(frozen=True)
class Criterion:
    """One condition of promotion: whether it holds, the figures behind it, and a sentence for people."""

    name: str
    passed: bool
    figures: Mapping[str, float]
    reason: str


def judge(contest: Contest, bounds: GateBounds) -> tuple[Criterion, ...]:
    """All that apply: a first version must beat a constant model, a later one the version in Production.

    Where a class has too few rows, one criterion that says so: the figures of the others would mean nothing.
    """
    negatives, positives = np.bincount(contest.labels, minlength=2).tolist()
    if min(positives, negatives) < FEWEST:
        return (_too_few(positives, negatives),)
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
    found = auc_estimate(contest.labels, contest.challenger)
    reason = f"AUC between {found.low:.4f} and {found.high:.4f}, chance is 0.5"
    return Criterion("AUC above chance", found.low > 0.5, {"low": found.low, "high": found.high}, reason)


def better_than_champion(contest: Contest, bounds: GateBounds) -> Criterion:
    """The AUC is above that of the version in Production, by more than the margin at the interval's lower end."""
    champion = _champion(contest)
    ours, theirs = (auc_estimate(contest.labels, each).value for each in (contest.challenger, champion))
    found = auc_difference(contest.labels, contest.challenger, champion)
    reason = (
        f"AUC {ours:.4f}, in Production {theirs:.4f}; difference {_told(found)}, "
        f"asked is more than {bounds.auc_margin:+.4f} at the lower end"
    )
    figures = _figures(ours, theirs, found)
    return Criterion("AUC above the version in Production", found.low > bounds.auc_margin, figures, reason)


def no_worse_than_champion(contest: Contest, bounds: GateBounds) -> Criterion:
    """The log loss is not above that of the version in Production, but for the margin at the interval's upper end."""
    ours, theirs = (row_log_loss(contest.labels, each) for each in (contest.challenger, _champion(contest)))
    found = mean_estimate(contest.labels, ours - theirs)
    reason = (
        f"log loss {ours.mean():.4f}, in Production {theirs.mean():.4f}; difference {_told(found)}, "
        f"asked is less than {bounds.log_loss_margin:+.4f} at the upper end"
    )
    figures = _figures(float(ours.mean()), float(theirs.mean()), found)
    return Criterion("log loss no worse than in Production", found.high < bounds.log_loss_margin, figures, reason)


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
    tenths = bins(told)
    drawn = ((generator.random(told.size) < told).astype(np.int64) for _ in range(DRAWS))
    return float(np.percentile([calibration_error(labels, told, tenths) for labels in drawn], 97.5))


def _too_few(positives: int, negatives: int) -> Criterion:
    reason = (
        f"{positives} positives and {negatives} negatives are held out, at least {FEWEST} of each are needed: "
        "promote when more labels have come, or hold out a larger share"
    )
    return Criterion(ENOUGH, False, {"positives": float(positives), "negatives": float(negatives)}, reason)


def _told(found: Estimate) -> str:
    return f"{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


def _figures(ours: float, theirs: float, found: Estimate) -> dict[str, float]:
    return {"challenger": ours, "champion": theirs, "difference_low": found.low, "difference_high": found.high}


def _champion(contest: Contest) -> Floats:
    return contest.champion if contest.champion is not None else np.full(contest.labels.size, contest.base_rate)


Rule = Callable[[Contest, GateBounds], Criterion]
FIRST: tuple[Rule, ...] = (better_than_constant, better_than_chance, calibrated)
LATER: tuple[Rule, ...] = (better_than_champion, no_worse_than_champion, calibrated)
