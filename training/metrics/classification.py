"""Labels and probabilities -> figures and their 95 % intervals. Pure functions; nothing is drawn at random.

`labels` are 0 or 1 and `probabilities` those of the positive class, both of shape (rows,), here and below. Every
interval takes the number of rows of each class as given, and keeps its level (2.5 % on either side) where one of them
is rare: `python -m benchmarks gate` counts how often.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]

BINS = 10
LEVEL = 0.975
"""Of one end of an interval."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; the ends are infinite where too few rows are there to tell."""

    value: float
    low: float
    high: float


def measure(labels: Labels, probabilities: Floats, threshold: float) -> dict[str, float]:
    """Every figure of one model on one set of rows: ranking, probabilities, and decisions at 0.5 and at `threshold`."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "auc": float(roc_auc_score(labels, probabilities)),
        "average_precision": float(average_precision_score(labels, probabilities)),
        "log_loss": float(row_log_loss(labels, probabilities).mean()),
        "brier": float(((probabilities - labels) ** 2).mean()),
        "calibration_error": calibration_error(labels, probabilities),
        "base_rate": float(labels.mean()),
        "threshold": threshold,
        **_decisions(labels, probabilities >= threshold, "at_threshold"),
        **_decisions(labels, probabilities >= 0.5, "at_half"),
    }


def _decisions(labels: Labels, positive: NDArray[np.bool_], suffix: str) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    precision, recall, f1, _ = precision_recall_fscore_support(labels, positive, average="binary", zero_division=0.0)
    figures = {"precision": precision, "recall": recall, "f1": f1, "accuracy": accuracy_score(labels, positive)}
    return {f"{name}_{suffix}": float(value) for name, value in figures.items()}


def confusion(labels: Labels, positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How often each class got which answer: shape (2, 2), a row for each true class, a column for each answer."""
    return np.bincount(2 * labels + positive, minlength=4).reshape(2, 2)


def row_log_loss(labels: Labels, probabilities: Floats) -> Floats:
    """The log loss of each row, shape (rows,); probabilities are kept one machine epsilon away from 0 and 1."""
    epsilon = np.finfo(np.float64).eps
    kept = np.clip(probabilities, epsilon, 1 - epsilon)
    return np.asarray(-np.log(np.where(labels == 1, kept, 1 - kept)), dtype=np.float64)


def bins(probabilities: Floats) -> list[NDArray[np.int64]]:
    """The rows in ten bins of equal size (to one row), by rising probability; ties keep the order of the rows."""
    order = np.argsort(probabilities, kind="stable")
    return [rows for rows in np.array_split(order, BINS) if rows.size]


def calibration_error(
    labels: Labels, probabilities: Floats, tenths: Sequence[NDArray[np.int64]] | None = None
) -> float:
    """Expected calibration error over ten bins of equal size (default: `bins`, which sorts).

    The mean over the bins, weighted by their rows, of |share of positives - mean probability|.
    """
    rest = labels - probabilities
    return float(sum(abs(rest[rows].sum()) for rows in tenths or bins(probabilities)) / labels.size)


def best_threshold(labels: Labels, probabilities: Floats) -> float:
    """The probability from which to say yes for the greatest F1; of equally good ones the lowest."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(labels, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(np.float64).tiny)
    return float(thresholds[int(np.argmax(f1[:-1]))])


def auc_estimate(labels: Labels, probabilities: Floats) -> Estimate:
    """The AUC, with the score interval of Newcombe (Statistics in Medicine 25, 2006, method 5).

    It holds all values that the AUC found does not reject, each with the error that it would have itself. So it lies
    within 0 and 1, has a width where the AUC is 0 or 1, and excludes 0.5 where Mann and Whitney's test does.
    """
    from sklearn.metrics import roc_auc_score

    value, positives = float(roc_auc_score(labels, probabilities)), int(labels.sum())
    low, other = (_score_bound(each, positives, labels.size - positives) for each in (value, 1 - value))
    return Estimate(value, low, 1 - other)


def _score_bound(auc: float, positives: int, negatives: int) -> float:
    """The smallest AUC that does not reject the one found."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    z, others = float(norm.ppf(LEVEL)), (positives + negatives) / 2 - 1

    def excess(low: float) -> float:
        spread = low * (1 - low) * (1 + others * (1 - low) / (2 - low) + others * low / (1 + low))
        return auc - low - z * sqrt(spread / (positives * negatives))

    return float(brentq(excess, 0.0, min(auc, 1 - 1e-12))) if auc > 0 else 0.0


def auc_difference(labels: Labels, ours: Floats, theirs: Floats) -> Estimate:
    """By how much the AUC of `ours` is above that of `theirs` on the same rows.

    As DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988): what varies is the share of the other class that each
    row beats under the one and under the other. Without an order by class both shares vary alike, so the class that
    varies less here counts as the other one: fifteen rows that are all in one leaf of a tree do not vary at all.
    """
    samples = [one - other for one, other in zip(_above(labels, ours), _above(labels, theirs), strict=True)]
    value, sizes = float(samples[0].mean()), np.array([sample.size for sample in samples])
    if sizes.min() < 2:
        return Estimate(value, -inf, inf)
    squares = max(sample.var(ddof=1) for sample in samples) / sizes
    width = _quantile(squares, sizes) * sqrt(squares.sum())
    return Estimate(value, value - width, value + width)


def mean_estimate(labels: Labels, values: Floats) -> Estimate:
    """The mean of one value of each row, shape (rows,), such as its log loss or the difference of two."""
    share = float(labels.mean())
    return _estimate(float(values.mean()), share * values[labels == 1], (1 - share) * values[labels == 0])


def _estimate(value: float, *samples: Floats) -> Estimate:
    """A sum of the means of independent samples: Welch's t interval, corrected for skewness by Hall.

    Without the correction (Journal of the Royal Statistical Society B 54, 1992) a few large losses, which are mostly
    not among the rows, are overlooked three times as often as they may be.
    """
    if min(sample.size for sample in samples) < 2:
        return Estimate(value, -inf, inf)
    squares = np.array([sample.var(ddof=1) / sample.size for sample in samples])
    error = sqrt(squares.sum())
    if not error > 0:
        return Estimate(value, value, value)
    thirds = [((each - each.mean()) ** 3).sum() / (each.size - 1) / each.size**2 for each in samples]
    width, skewness = _quantile(squares, np.array([each.size for each in samples])), sum(thirds) / error**3
    return Estimate(value, *(value - error * _unskewed(end, skewness) for end in (width, -width)))


def _quantile(squares: Floats, sizes: NDArray[np.int64]) -> float:
    """Student's t with Welch's degrees of freedom, from the squared standard errors of samples of these sizes."""
    from scipy.stats import t

    if not squares.sum() > 0:
        return 0.0
    return float(t.ppf(LEVEL, squares.sum() ** 2 / (squares**2 / (sizes - 1)).sum()))


def _unskewed(quantile: float, skewness: float) -> float:
    """The quantile of a studentised mean of that skewness, from that of a symmetric one: Hall's transformation."""
    if abs(skewness) < 1e-6:
        return quantile
    return float(3 / skewness * (np.cbrt(1 + skewness * (quantile - skewness / 6)) - 1))


def _above(labels: Labels, probabilities: Floats) -> tuple[Floats, Floats]:
    """For each positive the share of negatives below it, for each negative the share of positives above it."""
    from scipy.stats import rankdata

    positive, negative = probabilities[labels == 1], probabilities[labels == 0]
    ranks = rankdata(probabilities)  # a tie counts half
    beaten = (ranks[labels == 1] - rankdata(positive)) / negative.size
    beats = 1 - (ranks[labels == 0] - rankdata(negative)) / positive.size
    return beaten, beats
