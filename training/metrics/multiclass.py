"""Labels and probabilities of several classes -> metrics and their 95 % confidence intervals.

`labels` are the codes of the classes, shape (rows,); `probabilities` have shape (rows, classes). A class without a row
has no part in a mean over classes.
"""

import re
from collections.abc import Sequence
from math import inf, nan, sqrt

import numpy as np
from numpy.typing import NDArray

from asof.targets.costs import CostMatrix
from training.metrics.classification import (
    Estimate,
    Floats,
    Labels,
    calibration_error,
    mostly_tied,
    stratified_mean,
    welch_quantile,
)

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


def macro_auc_estimate(labels: Labels, probabilities: Floats) -> Estimate:
    """The macro AUC with its interval, which is all from 0 to 1 where a class has one row."""
    found = _macro_estimate(labels, _shares_below(labels, probabilities))
    return Estimate(macro_auc(labels, probabilities), max(found.low, 0.0), min(found.high, 1.0))


def macro_auc_difference(labels: Labels, ours: Floats, theirs: Floats) -> Estimate:
    """The macro AUC of `ours` minus that of `theirs` on the same rows."""
    pairs = zip(_shares_below(labels, ours), _shares_below(labels, theirs), strict=True)
    return _macro_estimate(labels, [one - other for one, other in pairs])


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
    columns = np.array(costs).T
    return [code for code in range(len(columns)) if _greatest_lead(columns, code) <= LEAST_LEAD * np.abs(columns).max()]


def _greatest_lead(columns: Floats, code: int) -> float:
    """By how much an answer can be cheaper than all others: the greatest `lead` with p @ (other - own) >= lead."""
    from scipy.optimize import linprog

    own, count = columns[code], len(columns)
    rivals = [each for place, each in enumerate(columns) if place < code or (each != own).any()]
    if not rivals:
        return inf
    found = linprog(
        [*np.zeros(count), -1.0],
        A_ub=[[*(own - each), 1.0] for each in rivals],
        b_ub=np.zeros(len(rivals)),
        A_eq=[[*np.ones(count), 0.0]],
        b_eq=[1.0],
        bounds=[(0, 1)] * count + [(None, None)],
    )
    return float(-found.fun)


def metric_key(name: str) -> str:
    """The name of a class as a part of a metric's name, in which MLflow takes no other characters."""
    return re.sub(r"[^\w.:/-]", "_", name)


def _both_sides(labels: Labels) -> list[int]:
    """The codes that some rows have and others have not."""
    return [int(code) for code in np.unique(labels) if 0 < (labels == code).sum() < labels.size]


def _shares_below(labels: Labels, probabilities: Floats) -> list[Floats]:
    """Two arrays of shape (rows, classes that have both sides), a tie counting half.

    For each class, by its probability: the share of the rest below a row of the class, and the share of the class below
    a row of the rest; and the share of all rows below each row.
    """
    from scipy.stats import rankdata

    own_side, all_rows = [], []
    for code in _both_sides(labels):
        scores, positive = probabilities[:, code], labels == code
        ranks, count = rankdata(scores), positive.sum()
        shares = np.empty(labels.size)
        shares[positive] = (ranks[positive] - rankdata(scores[positive])) / (labels.size - count)
        shares[~positive] = (ranks[~positive] - rankdata(scores[~positive])) / count
        own_side.append(shares)
        all_rows.append((ranks - 0.5) / labels.size)
    return [np.array(each).reshape(-1, labels.size).T for each in (own_side, all_rows)]


def _macro_estimate(labels: Labels, shares: Sequence[Floats]) -> Estimate:
    """The mean over classes of the AUC, or of its difference, from `_shares_below` or their differences.

    The standard error is that of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988), of rows that are drawn class
    by class; Student's t with Welch's degrees of freedom.
    """
    own_side, all_rows = shares
    members = [labels == code for code in _both_sides(labels)]
    if not members:
        return Estimate(nan, -inf, inf)
    value = float(np.mean([own_side[rows, place].mean() for place, rows in enumerate(members)]))
    sizes = np.array([rows.sum() for rows in members])
    if sizes.min() < 2:
        return Estimate(value, -inf, inf)
    weights = -sizes[:, None] / (labels.size - sizes)  # of a row's shares in the sum, by its class
    np.fill_diagonal(weights, 1.0)
    variances = [_variance(own_side @ each, all_rows @ each, members, place) for place, each in enumerate(weights)]
    squares = np.array(variances) / sizes / len(members) ** 2
    width = welch_quantile(squares, sizes) * sqrt(squares.sum())
    return Estimate(value, value - width, value + width)


def _variance(own_side: Floats, all_rows: Floats, members: Sequence[NDArray[np.bool_]], place: int) -> float:
    """That of the rows of a class. Where these are mostly tied, that within all classes if it is greater: fifteen rows
    in one leaf of a tree show no variance at all.
    """
    sample = own_side[members[place]]
    if not mostly_tied(sample):
        return float(sample.var(ddof=1))
    within = sum(float(all_rows[rows].var()) * rows.sum() for rows in members) / (all_rows.size - len(members))
    return float(max(sample.var(ddof=1), within))
