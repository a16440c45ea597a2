"""Labels and probabilities of several classes -> metrics and their 95 % confidence intervals.

`labels` are the codes of the classes, shape (rows,); `probabilities` have shape (rows, classes). A class without a row
has no part in a mean over classes.
"""

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from asof.targets.costs import CostMatrix
from training.metrics.bootstrap import by_bootstrap
from training.metrics.classification import Estimate, Floats, Labels, calibration_error, stratified_mean

LEAST_LEAD = 1e-9
"""Of the greatest cost: a smaller lead of an answer over the others is the solver's rounding."""


def row_log_loss(labels: Labels, probabilities: Floats) -> Floats:
    """The log loss of each row, shape (rows,); probabilities are clipped by one machine epsilon at 0 and 1."""
    epsilon = np.finfo(np.float64).eps
    own = probabilities[np.arange(labels.size), labels]
    return np.asarray(-np.log(np.clip(own, epsilon, 1 - epsilon)), dtype=np.float64)


def log_loss_estimate(labels: Labels, probabilities: Floats) -> Estimate:
    """The mean log loss."""
    return stratified_mean(labels, row_log_loss(labels, probabilities))


def macro_auc(labels: Labels, probabilities: Floats) -> float:
    """The mean over classes of the AUC of each against the rest; NaN with rows of one class only."""
    from sklearn.metrics import roc_auc_score

    areas = [roc_auc_score(labels == code, probabilities[:, code]) for code in _both_sides(labels)]
    return float(np.mean(areas)) if areas else float("nan")


def macro_auc_estimate(labels: Labels, probabilities: Floats) -> tuple[Estimate, int]:
    """The macro AUC with its bootstrap interval, and the number of draws that lost a class and were left out."""
    return by_bootstrap(macro_auc(labels, probabilities), labels.size, _weighted_auc(labels, probabilities))


def macro_auc_difference(labels: Labels, ours: Floats, theirs: Floats) -> tuple[Estimate, int]:
    """The macro AUC of `ours` minus that of `theirs` on the same rows, paired in each draw; and the draws left out."""
    one, other = _weighted_auc(labels, ours), _weighted_auc(labels, theirs)
    value = macro_auc(labels, ours) - macro_auc(labels, theirs)
    return by_bootstrap(value, labels.size, lambda weights: one(weights) - other(weights))


def classwise_calibration_error(labels: Labels, probabilities: Floats) -> float:
    """The mean over classes of the expected calibration error of each against the rest.

    Kull et al., Beyond temperature scaling (NeurIPS 2019): classwise-ECE, in ten bins of equal size.
    """
    codes = range(probabilities.shape[1])
    return float(np.mean([calibration_error((labels == code) * 1, probabilities[:, code]) for code in codes]))


def confusion(labels: Labels, answers: Labels, classes: int) -> NDArray[np.int64]:
    """The confusion matrix, shape (classes, classes): a row for each true class, a column for each predicted one."""
    return np.bincount(classes * labels + answers, minlength=classes**2).reshape(classes, classes)


def never_cheapest(costs: CostMatrix) -> list[int]:
    """The codes whose answer has the least expected cost for no probabilities; of equal columns the first has it."""
    from scipy.optimize import linprog

    matrix, never = np.array(costs), []
    for code, own in enumerate(matrix.T):
        # The greatest `lead` over the other answers, where sum(p) = 1: lead <= p @ (other - own).
        others = [each for rival, each in enumerate(matrix.T) if rival < code or (each != own).any()]
        bounds = np.array([[*(own - other), 1.0] for other in others])
        found = linprog(
            [*np.zeros(len(matrix)), -1.0],
            A_ub=bounds,
            b_ub=np.zeros(len(others)),
            A_eq=[[*np.ones(len(matrix)), 0.0]],
            b_eq=[1.0],
            bounds=[(0, 1)] * len(matrix) + [(None, None)],
        )
        if -found.fun <= LEAST_LEAD * np.abs(matrix).max():
            never.append(code)
    return never


def metric_key(name: str) -> str:
    """The name of a class as a part of a metric's name, in which MLflow takes no other characters."""
    return re.sub(r"[^\w.:/-]", "_", name)


def _both_sides(labels: Labels) -> list[int]:
    """The codes that some rows have and others have not."""
    return [int(code) for code in np.unique(labels) if 0 < (labels == code).sum() < labels.size]


def _weighted_auc(labels: Labels, probabilities: Floats) -> Callable[[Floats], float]:
    """The macro AUC as a function of the rows' weights; NaN where a class, or the rest, has no weight."""
    parts = [
        (labels == code, np.unique(probabilities[:, code], return_inverse=True)[1]) for code in _both_sides(labels)
    ]

    def figure(weights: Floats) -> float:
        return float(np.mean([_area(positive, levels, weights) for positive, levels in parts])) if parts else np.nan

    return figure


def _area(positive: NDArray[np.bool_], levels: NDArray[np.int64], weights: Floats) -> float:
    """The AUC of weighted rows, by the levels of their scores; a tie counts half."""
    size = int(levels.max()) + 1
    above = np.bincount(levels, weights * positive, size)
    below = np.bincount(levels, weights * ~positive, size)
    total = above.sum() * below.sum()
    if not total > 0:
        return float("nan")
    return float((above * (np.cumsum(below) - below / 2)).sum() / total)
