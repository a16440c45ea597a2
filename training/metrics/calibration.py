"""Are probabilities those that they say? Reliability bins, Spiegelhalter's test, and recalibration.

`labels` are 0 or 1, `probabilities` those of 1, both of shape (rows,).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.metrics.bootstrap import SEED, TAILS
from training.metrics.classification import Estimate, Floats, Labels, bins

EPSILON = float(np.finfo(np.float64).eps)
DRAWS = 2000
STEPS = 50
"""Of Newton's method, which takes fewer than ten where it converges."""
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows of similar probability: the mean of these, the share of ones, and how many there are."""

    predicted: float
    observed: float
    n: int


@dataclass(frozen=True)
class Recalibration:
    """logit(q) = intercept + slope * logit(p): the probability q that a p has turned out to mean on some rows.

    Cox, Biometrika 45 (1958); Platt (1999). `variances` are of intercept and slope, and their covariance; `p_value` is
    that of intercept 0 and slope 1 by the likelihood ratio.
    """

    intercept: float
    slope: float
    variances: tuple[float, float, float]
    p_value: float

    @property
    def needed(self) -> bool:
        """Whether the probabilities are off by more than chance."""
        return self.p_value < SIGNIFICANT

    def apply(self, probabilities: Floats) -> Floats:
        return expit(self.intercept + self.slope * logit(probabilities))


def by_class(classes: Sequence[str] | None, labels: Labels, predictions: Floats) -> dict[str, tuple[Labels, Floats]]:
    """Labels and probabilities: of the positive class under an empty name, or of each of several against the rest.

    Empty for a number, which has no `classes`.
    """
    if classes is None:
        return {}
    if predictions.ndim == 1:
        return {"": (labels, predictions)}
    return {name: ((labels == code).astype(np.int64), predictions[:, code]) for code, name in enumerate(classes)}


def logit(probabilities: Floats) -> Floats:
    """The log odds; of 0 and 1 those of one machine epsilon away."""
    clipped = np.clip(probabilities, EPSILON, 1 - EPSILON)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def expit(values: Floats) -> Floats:
    from scipy import special

    return np.asarray(special.expit(values), dtype=np.float64)


def reliability(labels: Labels, probabilities: Floats) -> list[ReliabilityBin]:
    """Ten bins of equal size by ascending probability, fewer of fewer rows."""
    return [
        ReliabilityBin(float(probabilities[rows].mean()), float(labels[rows].mean()), rows.size)
        for rows in bins(probabilities)
    ]


def calibration_error_estimate(found: Sequence[ReliabilityBin]) -> Estimate:
    """The expected calibration error with the basic bootstrap's interval, each bin's share drawn as a binomial.

    Chance alone makes an error above 0, which the interval corrects for. Davison and Hinkley, Bootstrap Methods and
    their Application (1997), chapter 5.
    """
    predicted, observed, sizes = (np.array([getattr(each, name) for each in found]) for name in vars(found[0]))
    value = float((sizes * np.abs(observed - predicted)).sum() / sizes.sum())
    shares = (observed * sizes + 1) / (sizes + 2)  # of Agresti and Coull: a bin without ones is not certain
    drawn = observed + np.random.default_rng(SEED).binomial(sizes, shares, (DRAWS, sizes.size)) / sizes - shares
    errors = (sizes * np.abs(drawn - predicted)).sum(axis=1) / sizes.sum()
    low, high = np.percentile(errors, TAILS)
    return Estimate(value, max(2 * value - float(high), 0.0), max(2 * value - float(low), value))


def spiegelhalter(labels: Labels, probabilities: Floats) -> tuple[float, float]:
    """z, standard normal for calibrated probabilities, and its two-sided p-value; 0 and 1 where nothing is uncertain.

    Spiegelhalter, Statistics in Medicine 5 (1986). A probability of 0 or 1 that is wrong makes z huge.
    """
    from scipy import stats

    clipped = np.clip(probabilities, EPSILON, 1 - EPSILON)
    weights = 1 - 2 * clipped
    spread = float(np.sqrt((weights**2 * clipped * (1 - clipped)).sum()))
    if not spread > 0:
        return 0.0, 1.0
    z = float(((labels - clipped) * weights).sum() / spread)
    return z, float(2 * stats.norm.sf(abs(z)))


def recalibration(labels: Labels, probabilities: Floats) -> Recalibration | None:
    """By maximum likelihood, with Newton's method; None for one class, one probability, or perfectly separated rows."""
    from scipy import stats

    scores = logit(probabilities)
    if labels.min() == labels.max() or np.ptp(scores) < 1e-9:
        return None
    columns, fitted = np.column_stack([np.ones_like(scores), scores]), np.array([0.0, 1.0])
    for _ in range(STEPS):
        expected = expit(columns @ fitted)
        information = columns.T @ (columns * (expected * (1 - expected))[:, None])
        if np.linalg.cond(information) > 1 / EPSILON:
            return None
        step = np.linalg.solve(information, columns.T @ (labels - expected))
        fitted = fitted + step
        if np.abs(step).max() < 1e-9:
            break
    else:
        return None
    (first, both), (_, second) = np.linalg.inv(information)
    gained = 2 * (_likelihood(labels, columns @ fitted) - _likelihood(labels, scores))
    variances = (float(first), float(second), float(both))
    return Recalibration(float(fitted[0]), float(fitted[1]), variances, float(stats.chi2.sf(gained, 2)))


def _likelihood(labels: Labels, logits: Floats) -> float:
    return float((labels * logits - np.logaddexp(0, logits)).sum())
