"""True and predicted numbers, shape (rows,) -> metrics and their 95 % confidence intervals, and conformal margins."""

from math import ceil, inf, sqrt

import numpy as np

from training.metrics.bootstrap import block_means, by_bootstrap, mean_by_bootstrap
from training.metrics.classification import Estimate, Floats, unskewed, welch_quantile


def errors_of(labels: Floats, predictions: Floats) -> dict[str, float]:
    """Mean absolute error, root mean squared error and R2, as scikit-learn has them."""
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    functions = {"mae": mean_absolute_error, "rmse": root_mean_squared_error, "r2": r2_score}
    return {name: float(function(labels, predictions)) for name, function in functions.items()}


def error_estimates(labels: Floats, predictions: Floats) -> dict[str, Estimate]:
    """The same with intervals: of the means by the studentised bootstrap, of R2 by percentiles."""
    residuals, values = labels - predictions, errors_of(labels, predictions)
    squared = mean_by_bootstrap(residuals**2)
    low, high = (float(np.sqrt(max(end, 0.0))) for end in (squared.low, squared.high))
    absolute = mean_by_bootstrap(np.abs(residuals))
    columns = block_means(np.stack([residuals**2, labels, labels**2], axis=1))

    def r2(weights: Floats) -> float:
        error, mean, square = weights @ columns / len(columns)
        spread = square - mean**2
        return float(1 - error / spread) if spread > 0 else float("nan")

    return {
        "mae": Estimate(values["mae"], max(absolute.low, 0.0), absolute.high),
        "rmse": Estimate(values["rmse"], low, high),
        "r2": by_bootstrap(values["r2"], len(columns), r2)[0],
    }


def paired_mean(differences: Floats) -> Estimate:
    """The mean of paired differences, shape (rows,), with an interval that holds for heavy tails as well.

    On the side of the longer tail a sample mostly lacks what would move its mean there. So there the most distant
    difference counts twice, and the skewness is corrected for (Hall, Journal of the Royal Statistical Society B 54,
    1992) where that widens the interval; on the other side it is Student's. Bootstrap and plain Hall miss up to twice
    as often as they say: measured by `python -m benchmarks gate`.
    """
    if differences.size < 2:
        return Estimate(float(differences.mean()), -inf, inf)
    return Estimate(float(differences.mean()), _lower_end(differences), -_lower_end(-differences))


def _lower_end(values: Floats) -> float:
    long_tail = ((values - values.mean()) ** 3).sum() < 0
    sample = np.append(values, values.min()) if long_tail else values
    error = float(sample.std(ddof=1)) / sqrt(sample.size)
    if not error > 0:
        return float(sample.mean())
    width = welch_quantile(np.array([error**2]), np.array([sample.size]))
    if long_tail:
        third = ((sample - sample.mean()) ** 3).sum() / (sample.size - 1) / sample.size**2
        width = max(width, unskewed(width, third / error**3))
    return float(sample.mean()) - error * width


def conformal_margin(residuals: Floats, coverage: float) -> float:
    """The margin whose interval contains `coverage` of new outcomes, from residuals of rows unseen by their model.

    Split conformal prediction (Lei et al., Journal of the American Statistical Association 113, 2018): the
    ceil((n + 1) coverage)-th smallest absolute residual. Infinite where there are too few rows.
    """
    rank = ceil((residuals.size + 1) * coverage)
    return float(np.sort(np.abs(residuals))[rank - 1]) if rank <= residuals.size else inf
