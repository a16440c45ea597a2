"""How good is a version before outcomes are known? From its probabilities alone, and only if the concept holds.

Confidence-based performance estimation (Bialek et al., arXiv 2401.08348): where a probability p means that p of such
rows are positive, the expected figure of any rows follows from their probabilities. A change of the inputs changes
the estimate as it changes the truth; a change of what the inputs mean is invisible to it.
"""

from collections.abc import Callable, Mapping, Sequence
from math import nan

import numpy as np

from monitoring.records.figure import Subject, Verdict
from monitoring.statistics.measured import MIN_ROWS, Measured
from training.metrics.calibration import Recalibration, logit
from training.metrics.classification import Estimate, Floats
from training.metrics.statistics import auc_error

CONDITION = "If the concept holds, that is if the same inputs still mean the same: a change of it does not show here."
Z = 1.959963984540054


def estimated_performance(predictions: Floats, recalibrations: Mapping[str, Recalibration | None]) -> list[Measured]:
    """The expected `auc` and `log_loss` of rows without outcomes, with 95 % intervals and CONDITION.

    `predictions` are probabilities of shape (rows,), or (rows, classes) in the order of `recalibrations`, which are
    those of the held-out rows. Where these were not calibrated, the probabilities are corrected first. The intervals
    allow for the rows that outcomes would be drawn for, and for the held-out rows that calibration is known from. None
    without recalibration, as of a number.
    """
    if not recalibrations:
        return []
    columns = np.atleast_2d(predictions[~np.isnan(predictions.reshape(len(predictions), -1)).any(axis=1)].T)
    rows = columns.shape[1]
    if not rows:
        return []
    found = {"auc": _mean_auc, "log_loss": _log_loss}
    each = [*recalibrations.values()]
    return [_measured(name, estimate(columns, each), rows) for name, estimate in found.items()]


def expected_auc(scores: Floats, positive: Floats) -> float:
    """The AUC to expect of rows that are positive with these probabilities, both shape (rows,); ties count half.

    It is the expected share of pairs in order; NaN where no pair can be expected.
    """
    levels, places = np.unique(scores, return_inverse=True)
    ones, zeros = (np.bincount(places, each, levels.size) for each in (positive, 1 - positive))
    own = (positive * (1 - positive)).sum()  # of a row with itself: no pair
    pairs = ones.sum() * zeros.sum() - own
    above = (ones * (np.cumsum(zeros) - zeros / 2)).sum() - own / 2
    return float(above / pairs) if pairs > 0 else nan


def _mean_auc(columns: Floats, recalibrations: Sequence[Recalibration | None]) -> Estimate:
    """The mean over classes, as in training."""

    def figure(place: int) -> Callable[[Floats], float]:
        return lambda positive: expected_auc(columns[place], positive)

    parts = [_with_error(columns[place], each, figure(place)) for place, each in enumerate(recalibrations)]
    values, errors = np.array([value for value, _ in parts]), np.array([error for _, error in parts])
    drawn = [_auc_error(*each) for each in zip(values, columns, recalibrations, strict=True)]
    margin = Z * float(np.sqrt((errors**2 + np.square(drawn)).sum())) / len(parts)
    value = float(values.mean())
    return Estimate(value, max(value - margin, 0.0), min(value + margin, 1.0))


def _auc_error(value: float, scores: Floats, recalibration: Recalibration | None) -> float:
    positives = _meant(scores, recalibration).sum()
    return auc_error(value, max(round(float(positives)), 1), max(round(float(scores.size - positives)), 1))


def _log_loss(columns: Floats, recalibrations: Sequence[Recalibration | None]) -> Estimate:
    """The expected loss of each row is the mean of its classes' losses by their probabilities."""
    both = len(columns) == 1
    scores = np.stack([1 - columns[0], columns[0]]) if both else columns
    losses = -np.log(np.clip(scores, np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps))
    parts = [
        _with_error(columns[place], each, _mean_loss(losses, place, both=both))
        for place, each in enumerate(recalibrations)
    ]
    value = float(sum(value for value, _ in parts))
    meant = [_meant(column, each) for column, each in zip(columns, recalibrations, strict=True)]
    shares = np.stack([1 - meant[0], meant[0]]) if both else np.stack(meant) / np.sum(meant, axis=0)
    spread = ((shares * losses**2).sum(axis=0) - (shares * losses).sum(axis=0) ** 2).sum() / columns.shape[1] ** 2
    rows = (shares * losses).sum(axis=0).var() / columns.shape[1]
    margin = Z * float(np.sqrt(spread + rows + sum(error**2 for _, error in parts)))
    return Estimate(value, max(value - margin, 0.0), value + margin)


def _mean_loss(losses: Floats, place: int, *, both: bool) -> Callable[[Floats], float]:
    if both:
        return lambda positive: float((positive * losses[1] + (1 - positive) * losses[0]).mean())
    return lambda positive: float((positive * losses[place]).mean())


def _meant(scores: Floats, recalibration: Recalibration | None) -> Floats:
    """What the probabilities mean by the held-out rows; themselves where they were calibrated."""
    return recalibration.apply(scores) if recalibration and recalibration.needed else scores


def _with_error(
    scores: Floats, recalibration: Recalibration | None, figure: Callable[[Floats], float]
) -> tuple[float, float]:
    """A figure of the probabilities that scores mean, and its standard error from that of the recalibration.

    By the delta method, with the derivatives by intercept and slope as differences of a standard error each.
    """
    from scipy import special

    value = figure(_meant(scores, recalibration))
    if recalibration is None:
        return value, 0.0
    first, second, both = recalibration.variances
    log_odds, errors = logit(scores), np.sqrt([first, second])
    start = (recalibration.intercept, recalibration.slope) if recalibration.needed else (0.0, 1.0)
    gradient = np.array(
        [
            (
                figure(special.expit(start[0] + errors[0] * (n == 0) + (start[1] + errors[1] * (n == 1)) * log_odds))
                - value
            )
            / errors[n]
            for n in range(2)
        ]
    )
    return value, float(np.sqrt(max(gradient @ np.array([[first, both], [both, second]]) @ gradient, 0.0)))


def _measured(name: str, estimate: Estimate, rows: int) -> Measured:
    verdict = Verdict.OK if rows >= MIN_ROWS else Verdict.TOO_FEW
    if np.isnan(estimate.value):
        return Measured(Subject.ESTIMATED, name, None, rows, verdict=Verdict.TOO_FEW, detail={"condition": CONDITION})
    low, high = estimate.low, estimate.high
    detail = {"condition": CONDITION}
    return Measured(Subject.ESTIMATED, name, estimate.value, rows, low=low, high=high, verdict=verdict, detail=detail)
