"""Bootstrap intervals: rows are drawn again with replacement, with a seed, so that the same rows give the same ends."""

from collections.abc import Callable, Iterator
from math import inf

import numpy as np

from training.metrics.classification import Estimate, Floats

DRAWS = 1000
MAX_DRAWN = 10_000
"""Rows, or blocks of rows, that are drawn from."""
TAILS = (2.5, 97.5)
"""The percentiles at the ends of a 95 % interval."""
SEED = 47


def draws(rows: int, seed: int = SEED) -> Iterator[Floats]:
    """How often each row is drawn, shape (rows,), DRAWS times."""
    generator = np.random.default_rng(seed)
    for _ in range(DRAWS):
        yield np.bincount(generator.integers(0, rows, rows), minlength=rows).astype(np.float64)


def block_means(values: Floats) -> Floats:
    """Means of MAX_DRAWN blocks of consecutive rows, shape (MAX_DRAWN, ...), where there are at least twice as many.

    Their means vary as those of the rows do, and a million rows take seconds instead of minutes.
    """
    size = values.shape[0] // MAX_DRAWN
    if size < 2:
        return values
    return np.asarray(values[: size * MAX_DRAWN].reshape(MAX_DRAWN, size, *values.shape[1:]).mean(axis=1))


def mean_by_bootstrap(values: Floats, seed: int = SEED) -> Estimate:
    """The mean of `values`, shape (rows,), such as paired differences, with the studentised bootstrap's interval.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 12: the quantiles are those of the drawn
    means over their own standard errors, which allows for skewed values. Infinite for one row.
    """
    mean, values = float(values.mean()), block_means(values)
    count = values.size
    if count < 2:
        return Estimate(mean, -inf, inf)
    centred = values - values.mean()
    error = float(np.sqrt((centred**2).mean() / count))
    if not error > 0:
        return Estimate(mean, mean, mean)
    columns = np.stack([centred, centred**2], axis=1)
    drawn = np.array([weights @ columns for weights in draws(count, seed)]) / count
    errors = np.sqrt(np.maximum(drawn[:, 1] - drawn[:, 0] ** 2, np.finfo(np.float64).tiny) / count)
    low, high = np.percentile(drawn[:, 0] / errors, TAILS)
    return Estimate(mean, mean - float(high) * error, mean - float(low) * error)


def by_bootstrap(value: float, rows: int, figure: Callable[[Floats], float], seed: int = SEED) -> tuple[Estimate, int]:
    """A figure of weighted rows with the percentile interval, and the number of draws that have no such figure (NaN).

    Those draws are left out: they lost what the figure needs, as all rows of one class.
    """
    drawn = np.array([figure(weights) for weights in draws(rows, seed)])
    known = drawn[~np.isnan(drawn)]
    low, high = np.percentile(known, TAILS) if known.size else (-inf, inf)
    return Estimate(value, float(low), float(high)), int(drawn.size - known.size)
