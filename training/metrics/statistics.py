"""Samples -> effect sizes, p-values and intervals, and Holm's correction for many columns.

A check reports a finding of severity `info` if its p-value is below NOTICE, and an alarm if it is below ALARM and the
effect is large enough to matter. Both levels hold for all columns of a check together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.metrics.classification import Floats

NOTICE, ALARM = 0.01, 0.001
BINS = 10
TAIL = 0.025


@dataclass(frozen=True)
class Effect:
    """An effect size and its p-value."""

    size: float
    p_value: float


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted to control the family-wise error rate. Holm, Scandinavian Journal of Statistics 6 (1979)."""
    adjusted, worst = {}, 0.0
    for rank, (name, value) in enumerate(sorted(p_values.items(), key=lambda each: each[1])):
        worst = max(worst, min(1.0, value * (len(p_values) - rank)))
        adjusted[name] = worst
    return adjusted


def psi(before: Floats, after: Floats, *, levels: bool) -> Effect:
    """`stability` of two samples, binned by value (`levels`) or by deciles of both; NaN is a bin."""
    return stability(*_counts(before, after, levels=levels))


def stability(before: NDArray[Any], after: NDArray[Any]) -> Effect:
    """The population stability index of two samples from their counts in the same bins, and its p-value.

    For samples of one population, PSI is about (1/n + 1/m) times a chi-squared variable with one degree of freedom less
    than bins: Yurdakul and Naranjo, Journal of Risk Model Validation 14(4) (2020). The usual limits 0.1 and 0.25 ignore
    n and m. Entities in both samples make it smaller, so the test is conservative.

    An empty bin would be infinite. So half a row is added to each bin of either sample. In proportion to the shares of
    both together, an empty rare bin would get next to nothing, and its logarithm would make a single row a shift. With
    many rare bins PSI is still far from chi-squared, mostly too small: `without_rare_bins` merges them.
    """
    from scipy import stats

    counts = np.stack([before, after]).astype(np.float64)
    counts = counts[:, counts.sum(axis=0) > 0]
    sizes, bins = counts.sum(axis=1), counts.shape[1]
    if bins < 2 or not sizes.all():
        return Effect(0.0, 1.0)
    shares = (counts + 0.5) / (sizes + bins / 2)[:, None]
    value = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    return Effect(value, float(stats.chi2.sf(value / (1 / sizes).sum(), bins - 1)))


def stability_interval(value: float, before: int, after: int, *, bins: int) -> tuple[float, float]:
    """The 95 % interval of the PSI of two populations, from that of samples of these sizes in so many filled bins.

    PSI / (1/n + 1/m) is about noncentral chi-squared, with the population's PSI / (1/n + 1/m) as noncentrality. The
    ends are those whose quantiles are the observed value; so chance alone does not make a shift, as it does in the
    sample's value.
    """
    from scipy import special

    unit, freedom = 1 / before + 1 / after, bins - 1
    if freedom < 1:
        return 0.0, 0.0

    def end(probability: float) -> float:
        """The noncentrality for which the observed value is this quantile; 0 where it is so without any."""
        above_chance = special.chdtr(freedom, value / unit) > probability
        return float(special.chndtrinc(value / unit, freedom, probability)) * unit if above_chance else 0.0

    return end(1 - TAIL), end(TAIL)


def kolmogorov_smirnov(before: Floats, after: Floats) -> Effect:
    """The two-sample Kolmogorov-Smirnov test without NaN, with the asymptotic p-value; ties make it conservative."""
    from scipy import stats

    first, second = before[~np.isnan(before)], after[~np.isnan(after)]
    if not (first.size and second.size):
        return Effect(0.0, 1.0)
    result = stats.ks_2samp(first, second, method="asymp")
    return Effect(float(result.statistic), float(result.pvalue))


def two_shares(before: Floats, after: Floats) -> Effect:
    """The difference of two shares of ones, by the pooled z test."""
    from scipy import stats

    if not (before.size and after.size):
        return Effect(0.0, 1.0)
    pooled = np.concatenate([before, after]).mean()
    error = np.sqrt(pooled * (1 - pooled) * (1 / before.size + 1 / after.size))
    difference = float(after.mean() - before.mean())
    return Effect(difference, float(2 * stats.norm.sf(abs(difference) / error)) if error > 0 else 1.0)


def correlation_interval(correlation: float, rows: int, *, alpha: float = ALARM) -> tuple[float, float]:
    """The interval of a correlation by Fisher's z (Metron 1, 1921); `rows` must be at least 4."""
    from scipy import stats

    centre = np.arctanh(np.clip(correlation, -1 + 1e-12, 1 - 1e-12))
    margin = stats.norm.isf(alpha / 2) / np.sqrt(rows - 3)
    return float(np.tanh(centre - margin)), float(np.tanh(centre + margin))


def auc(positive: Floats, negative: Floats) -> float:
    """The area under the ROC curve: the probability that a positive is above a negative, ties as half."""
    from scipy import stats

    ranks = stats.rankdata(np.concatenate([positive, negative]))
    above = ranks[: positive.size].sum() - positive.size * (positive.size + 1) / 2
    return float(above / (positive.size * negative.size))


def auc_error(value: float, positives: int, negatives: int) -> float:
    """The standard error of an AUC. Hanley and McNeil, Radiology 143 (1982)."""
    one, two = value / (2 - value), 2 * value**2 / (1 + value)
    spread = value * (1 - value) + (positives - 1) * (one - value**2) + (negatives - 1) * (two - value**2)
    return float(np.sqrt(max(spread, 0.0) / (positives * negatives)))


def share_low(hits: int, rows: int, *, alpha: float) -> float:
    """The lower bound of a share, exact: Clopper and Pearson, Biometrika 26 (1934)."""
    from scipy import stats

    return float(stats.beta.ppf(alpha, hits, rows - hits + 1)) if hits else 0.0


def share_interval(hits: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson, Journal of the American Statistical Association 22 (1927).

    0 to 1 without rows.
    """
    from scipy import stats

    if not rows:
        return 0.0, 1.0
    found = stats.binomtest(hits, rows).proportion_ci(1 - 2 * TAIL, method="wilson")
    return float(found.low), float(found.high)


def binned(values: Floats, edges_from: Floats) -> NDArray[np.int64]:
    """The decile of `edges_from` that holds each value, from 0; equal values share a bin; NaN is the last bin."""
    known = edges_from[~np.isnan(edges_from)]
    edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if known.size else np.empty(0)
    return np.where(np.isnan(values), edges.size + 1, np.searchsorted(edges, values, side="left")).astype(np.int64)


def _counts(before: Floats, after: Floats, *, levels: bool) -> Floats:
    """The number of values in each bin that is not empty, shape (2, bins)."""
    both = np.concatenate([before, after])
    codes = np.nan_to_num(both, nan=-1.0) if levels else binned(both, both)
    _, occurring = np.unique(codes, return_inverse=True)
    parts = (occurring[: before.size], occurring[before.size :])
    return np.stack([np.bincount(part, minlength=occurring.max() + 1) for part in parts]).astype(np.float64)
