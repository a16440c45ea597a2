"""Labels and probabilities -> figures. Pure functions; every interval is a seeded bootstrap.

`labels` are 0 or 1 and `probabilities` those of the positive class, both of shape (rows,), here and below.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]

RESAMPLES = 1000
BINS = 10
CHUNK = 100
"""Resamples in memory at once."""


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


def calibration_error(labels: Labels, probabilities: Floats) -> float:
    """Expected calibration error over ten bins of equal size.

    The mean over the bins, weighted by their rows, of |share of positives - mean probability|.
    """
    gaps = [abs(labels[rows].mean() - probabilities[rows].mean()) * rows.size for rows in bins(probabilities)]
    return float(sum(gaps) / labels.size)


def best_threshold(labels: Labels, probabilities: Floats) -> float:
    """The probability from which to say yes for the greatest F1; of equally good ones the lowest."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(labels, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(np.float64).tiny)
    return float(thresholds[int(np.argmax(f1[:-1]))])


def resampled(labels: Labels, probabilities: Floats, *, seed: int, resamples: int = RESAMPLES) -> dict[str, Floats]:
    """AUC, log loss and Brier score of each bootstrap resample, each of shape (resamples,).

    Positives and negatives are drawn separately, so that no resample lacks a class. The rows drawn depend on the
    labels and the seed alone: the figures of two models on the same rows are paired, and may be subtracted.
    """
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    losses = {"log_loss": row_log_loss(labels, probabilities), "brier": (probabilities - labels) ** 2}
    parts: dict[str, list[Floats]] = {"auc": [], "log_loss": [], "brier": []}
    for wins, times in _draws(positive.size, negative.size, seed, resamples):
        parts["auc"].append(_weighted_auc(probabilities[positive], probabilities[negative], wins, times))
        for name, loss in losses.items():
            parts[name].append((wins @ loss[positive] + times @ loss[negative]) / labels.size)
    return {name: np.concatenate(chunks) for name, chunks in parts.items()}


def interval(values: Floats) -> tuple[float, float]:
    """The middle 95 % of the resampled values."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _draws(positives: int, negatives: int, seed: int, resamples: int) -> Iterator[tuple[Floats, Floats]]:
    """How often each row is drawn, in chunks: two arrays of shape (chunk, positives) and (chunk, negatives)."""
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, CHUNK):
        rows = min(CHUNK, resamples - start)
        yield _counts(generator, rows, positives), _counts(generator, rows, negatives)


def _counts(generator: np.random.Generator, rows: int, size: int) -> Floats:
    drawn = generator.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size).astype(np.float64)


def _weighted_auc(positive: Floats, negative: Floats, wins: Floats, times: Floats) -> Floats:
    """The chance that a drawn positive scores above a drawn negative, a tie counting half, for each resample."""
    order = np.argsort(negative, kind="stable")
    below = np.concatenate([np.zeros((len(times), 1)), np.cumsum(times[:, order], axis=1)], axis=1)
    left = np.searchsorted(negative[order], positive, side="left")
    right = np.searchsorted(negative[order], positive, side="right")
    beaten = (below[:, left] + below[:, right]) / 2
    return np.asarray((wins * beaten).sum(axis=1) / (positive.size * negative.size), dtype=np.float64)
