"""A share of values, drawn by entity -> its 95 % interval.

Values of one entity differ together, so n values say less than n draws. The interval is that of Clopper and Pearson
(Biometrika 26, 1934) for the effective number of draws, as Korn and Graubard (Survey Methodology 24, 1998) give it: the
number at which a simple random sample has the same variance. Where nothing or everything has the property, the variance
says nothing, and each entity counts as one draw.
"""

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95


def share_interval(having: NDArray[np.int64], values: NDArray[np.int64]) -> tuple[float, float]:
    """The interval of sum(having) / sum(values); both have one number for each drawn entity, shape (entities,)."""
    from scipy.stats import beta

    share, draws = float(having.sum() / values.sum()), _effective(having, values)
    hits, alpha = share * draws, 1 - CONFIDENCE
    low = 0.0 if share == 0 else float(beta.ppf(alpha / 2, hits, draws - hits + 1))
    high = 1.0 if share == 1 else float(beta.ppf(1 - alpha / 2, hits + 1, draws - hits))
    return low, high


def _effective(having: NDArray[np.int64], values: NDArray[np.int64]) -> float:
    """The effective number of draws: at least one, at most that of the values."""
    from scipy.stats import t

    entities, total = len(values), int(values.sum())
    share = having.sum() / total
    residuals = having - share * values
    variance = float((residuals**2).sum()) * entities / max(entities - 1, 1) / total**2
    if share in (0, 1) or entities < 2 or not variance:
        return float(entities)
    fewer = (t.ppf(0.975, total - 1) / t.ppf(0.975, entities - 1)) ** 2  # the variance itself is an estimate
    return float(min(max(share * (1 - share) / variance * fewer, 1.0), total))
