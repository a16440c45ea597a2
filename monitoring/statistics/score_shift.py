"""Do the scores differ from those of the held-out rows, on which the model was not fitted?"""

from collections.abc import Mapping
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from asof.monitor_bounds import MonitorBounds
from monitoring.records.figure import Subject
from monitoring.statistics.drift import BOUNDS, compared, tested
from monitoring.statistics.measured import Measured
from training.metrics.classification import Floats
from training.metrics.statistics import share_interval
from training.models.evaluation.reference import Scores


def score_shift(
    reference: Mapping[str, Scores],
    scores: Floats,
    threshold: float | None = None,
    *,
    bounds: MonitorBounds = BOUNDS,
) -> list[Measured]:
    """The figures `psi`, `mean` and, with a threshold, `share_over_threshold`, each with its interval.

    `scores` has shape (rows,), or (rows, classes) in the order of the reference, which then has an entry for each
    class. A score that is NaN is left out.
    """
    columns = dict(zip(reference, np.atleast_2d(scores.T), strict=True))
    known = {name: values[~np.isnan(values)] for name, values in columns.items()}
    found = {name: compared(each.binned, each.binned.bins.count(known[name])) for name, each in reference.items()}
    figures = tested(Subject.SCORE_SHIFT, found, bounds)
    for name, values in known.items():
        figures.append(_mean("mean", name, values, reference[name].mean))
        if threshold is not None:
            figures.append(_share(name, values >= threshold, reference[name].share_over_threshold))
    return figures


def _mean(metric: str, about: str, values: Floats, training: float | None) -> Measured:
    """With Student's t interval."""
    from scipy import stats

    if not values.size:
        return Measured(Subject.SCORE_SHIFT, metric, None, 0, about, detail={"training": training})
    mean, low, high = float(values.mean()), None, None
    if values.size > 1:
        margin = float(stats.t.ppf(0.975, values.size - 1)) * float(values.std(ddof=1)) / sqrt(values.size)
        low, high = mean - margin, mean + margin
    return Measured(Subject.SCORE_SHIFT, metric, mean, values.size, about, low, high, detail={"training": training})


def _share(about: str, over: NDArray[np.bool_], training: float | None) -> Measured:
    hits, rows, detail = int(over.sum()), over.size, {"training": training}
    metric = "share_over_threshold"
    if not rows:
        return Measured(Subject.SCORE_SHIFT, metric, None, 0, about, detail=detail)
    low, high = share_interval(hits, rows)
    return Measured(Subject.SCORE_SHIFT, metric, hits / rows, rows, about, low, high, detail=detail)
