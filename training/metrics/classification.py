"""Labels and probabilities -> metrics and their 95 % confidence intervals, without random numbers.

`labels` are 0 or 1 and `probabilities` those of the positive class, both of shape (rows,), in all functions. The
intervals are conditional on the number of rows of each class and keep their coverage (2.5 % on either side) for a rare
class: measured by `python -m benchmarks gate`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]

BINS = 10
QUANTILE = 0.975
"""Of either end of a 95 % interval."""


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval, which is infinite if there are too few rows."""

    value: float
    low: float
    high: float


def ends(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    """The finite ends of the intervals by name, with the suffixes `_low` and `_high`."""
    every = {f"{name}_{end}": getattr(each, end) for name, each in estimates.items() for end in ("low", "high")}
    return {name: value for name, value in every.items() if isfinite(value)}


def with_intervals(metrics: Mapping[str, float]) -> dict[str, Estimate]:
    """The metrics that have an end of an interval, by name: the inverse of `ends`, whose missing ends are infinite."""
    names = {name.rpartition("_")[0] for name in metrics if name.endswith(("_low", "_high"))}
    return {
        name: Estimate(value, metrics.get(f"{name}_low", -inf), metrics.get(f"{name}_high", inf))
        for name, value in metrics.items()
        if name in names
    }


def measure(labels: Labels, probabilities: Floats, threshold: float) -> dict[str, float]:
    """All metrics of one model on one set of rows: ranking, probabilities, and decisions at 0.5 and at `threshold`."""
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
    metrics = {"precision": precision, "recall": recall, "f1": f1, "accuracy": accuracy_score(labels, positive)}
    return {f"{name}_{suffix}": float(value) for name, value in metrics.items()}


def confusion(labels: Labels, positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The confusion matrix, shape (2, 2): a row for each true class, a column for each predicted one."""
    return np.bincount(2 * labels + positive, minlength=4).reshape(2, 2)


def row_log_loss(labels: Labels, probabilities: Floats) -> Floats:
    """The log loss of each row, shape (rows,); probabilities are clipped by one machine epsilon at 0 and 1."""
    epsilon = np.finfo(np.float64).eps
    clipped = np.clip(probabilities, epsilon, 1 - epsilon)
    return np.asarray(-np.log(np.where(labels == 1, clipped, 1 - clipped)), dtype=np.float64)


def bins(probabilities: Floats) -> list[NDArray[np.int64]]:
    """The row numbers in ten bins of equal size (to one row), by ascending probability; ties keep their order."""
    order = np.argsort(probabilities, kind="stable")
    return [rows for rows in np.array_split(order, BINS) if rows.size]


def calibration_error(
    labels: Labels, probabilities: Floats, groups: Sequence[NDArray[np.int64]] | None = None
) -> float:
    """Expected calibration error: the mean over bins (default: `bins`), weighted by their rows, of
    |share of positives - mean probability|.
    """
    residuals = labels - probabilities
    return float(sum(abs(residuals[rows].sum()) for rows in groups or bins(probabilities)) / labels.size)


def best_threshold(labels: Labels, probabilities: Floats) -> float:
    """The threshold with the greatest F1; the lowest of several."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(labels, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(np.float64).tiny)
    return float(thresholds[int(np.argmax(f1[:-1]))])


def auc_estimate(labels: Labels, probabilities: Floats) -> Estimate:
    """The AUC, with the score interval of Newcombe (Statistics in Medicine 25, 2006, method 5).

    It contains all values that the observed AUC does not reject, each with its own standard error. So it is within 0
    and 1, not empty for an AUC of 0 or 1, and excludes 0.5 if the Mann-Whitney test does.
    """
    from sklearn.metrics import roc_auc_score

    value, positives = float(roc_auc_score(labels, probabilities)), int(labels.sum())
    low, other = (_score_bound(each, positives, labels.size - positives) for each in (value, 1 - value))
    return Estimate(value, low, 1 - other)


def _score_bound(auc: float, positives: int, negatives: int) -> float:
    """The smallest AUC that the observed one does not reject."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    z, others = float(norm.ppf(QUANTILE)), (positives + negatives) / 2 - 1

    def excess(low: float) -> float:
        spread = low * (1 - low) * (1 + others * (1 - low) / (2 - low) + others * low / (1 + low))
        return auc - low - z * sqrt(spread / (positives * negatives))

    return float(brentq(excess, 0.0, min(auc, 1 - 1e-12))) if auc > 0 else 0.0


def auc_difference(labels: Labels, ours: Floats, theirs: Floats) -> Estimate:
    """The AUC of `ours` minus that of `theirs` on the same rows.

    DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988): the variance is that of the share of the other class which
    each row beats; Student's t with Welch's degrees of freedom. For unrelated scores it is equal in both classes, so a
    class that is mostly tied gets the greater one: fifteen rows in a single leaf of a tree show no variance at all.
    """
    samples = [one - other for one, other in zip(_above(labels, ours), _above(labels, theirs), strict=True)]
    value, sizes = float(samples[0].mean()), np.array([sample.size for sample in samples])
    if sizes.min() < 2:
        return Estimate(value, -inf, inf)
    variances = [sample.var(ddof=1) for sample in samples]
    squares = np.array([max(variances) if mostly_tied(sample) else sample.var(ddof=1) for sample in samples]) / sizes
    width = welch_quantile(squares, sizes) * sqrt(squares.sum())
    return Estimate(value, value - width, value + width)


def mostly_tied(sample: Floats) -> bool:
    """Whether more than a third of the values are equal, to twelve decimals: their variance may be that of chance."""
    return bool(np.unique(sample.round(12), return_counts=True)[1].max() > sample.size / 3)


def mean_estimate(labels: Labels, values: Floats) -> Estimate:
    """The mean of `values`, shape (rows,), such as log losses or the differences of two."""
    share = float(labels.mean())
    return _estimate(float(values.mean()), share * values[labels == 1], (1 - share) * values[labels == 0])


def plain_mean(values: Floats) -> Estimate:
    """The mean of `values` of rows whose classes are drawn as well: to compare samples of different rows.

    The loss of rows depends on the share of each class, which `mean_estimate` takes as it is.
    """
    return _estimate(float(values.mean()), values)


def stratified_mean(labels: Labels, values: Floats) -> Estimate:
    """The same for the codes of any number of classes."""
    samples = [values[labels == code] for code in np.unique(labels)]
    return _estimate(float(values.mean()), *(sample.size / labels.size * sample for sample in samples))


def best_threshold_by_cost(labels: Labels, probabilities: Floats, **costs: float) -> float:
    """The threshold with the least expected cost, as `cost_curve` has it; the lowest of several."""
    thresholds, means = cost_curve(labels, probabilities, **costs)
    return float(thresholds[int(np.argmin(means))])


def cost_curve(
    labels: Labels,
    probabilities: Floats,
    *,
    missed: float,
    false_alarm: float,
    true_positive: float = 0.0,
    true_negative: float = 0.0,
) -> tuple[Floats, Floats]:
    """Each probability as a threshold, ascending, and the mean cost of a row at it."""
    thresholds, levels = np.unique(probabilities, return_inverse=True)
    positives, rows = np.bincount(levels, labels), np.bincount(levels).astype(np.float64)
    negatives = rows - positives
    positives_below = np.cumsum(positives) - positives
    negatives_below = np.cumsum(negatives) - negatives
    of_positives = missed * positives_below + true_positive * (positives.sum() - positives_below)
    of_negatives = true_negative * negatives_below + false_alarm * (negatives.sum() - negatives_below)
    return thresholds, (of_positives + of_negatives) / labels.size


def row_costs(labels: Labels, answers: Labels, matrix: Floats) -> Floats:
    """The cost of each row's answer, shape (rows,), by a matrix with a row for each true class."""
    return np.asarray(matrix[labels, answers], dtype=np.float64)


def _estimate(value: float, *samples: Floats) -> Estimate:
    """A sum of the means of independent samples: Welch's t interval, corrected for skewness by Hall.

    Without the correction (Journal of the Royal Statistical Society B 54, 1992) the interval misses three times as
    often as it should, because a sample mostly lacks the few large losses.
    """
    if min(sample.size for sample in samples) < 2:
        return Estimate(value, -inf, inf)
    squares = np.array([sample.var(ddof=1) / sample.size for sample in samples])
    error = sqrt(squares.sum())
    if not error > 0:
        return Estimate(value, value, value)
    thirds = [((each - each.mean()) ** 3).sum() / (each.size - 1) / each.size**2 for each in samples]
    width, skewness = welch_quantile(squares, np.array([each.size for each in samples])), sum(thirds) / error**3
    return Estimate(value, *(value - error * unskewed(end, skewness) for end in (width, -width)))


def welch_quantile(squares: Floats, sizes: NDArray[np.int64]) -> float:
    """Student's t with Welch's degrees of freedom, from the squared standard errors of samples of these sizes."""
    from scipy.stats import t

    if not squares.sum() > 0:
        return 0.0
    return float(t.ppf(QUANTILE, squares.sum() ** 2 / (squares**2 / (sizes - 1)).sum()))


def unskewed(quantile: float, skewness: float) -> float:
    """Hall's transformation: the quantile of a studentised mean of that skewness, from that of a symmetric one."""
    if abs(skewness) < 1e-6:
        return quantile
    return float(3 / skewness * (np.cbrt(1 + skewness * (quantile - skewness / 6)) - 1))


def _above(labels: Labels, probabilities: Floats) -> tuple[Floats, Floats]:
    """For each positive the share of negatives below it, for each negative the share of positives above it."""
    from scipy.stats import rankdata

    positive, negative = probabilities[labels == 1], probabilities[labels == 0]
    ranks = rankdata(probabilities)  # a tie counts half
    negatives_below = (ranks[labels == 1] - rankdata(positive)) / negative.size
    positives_above = 1 - (ranks[labels == 0] - rankdata(negative)) / positive.size
    return negatives_below, positives_above
