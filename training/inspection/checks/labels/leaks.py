"""A month with labels -> leaking features: a single column that predicts the label too well."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from training.inspection.finding import Finding, Severity
from training.inspection.month import Bools, Codes, Month
from training.metrics.classification import Floats
from training.metrics.statistics import ALARM, auc, auc_error, binned, share_low

LEAK_AUC = 0.9
"""A column leaks where the lower bound of its AUC is above this."""
LEAK_SHARE = 0.95
"""A value leaks where the lower bound of its share of the rarer label is above this."""
MAX_LEVELS = 50
MIN_PER_CLASS = 30


@dataclass(frozen=True)
class SingleFeature:
    """The AUC of a single column, and its lower bound, adjusted for all columns."""

    auc: float
    low: float


def single_features(month: Month) -> Mapping[str, SingleFeature]:
    """Each column as a model: the better AUC of its order, and of the label rate of its tenths or levels.

    Rates are estimated on every second row and scored on the rest; null is a level. Empty without labels, or where a
    class has too few.
    """
    labels, known = _labels(month)
    if labels is None:
        return {}
    names = month.features()
    alpha = ALARM / max(len(names), 1)  # Bonferroni
    return {name: _single(month, name, labels, known, alpha=alpha) for name in names}


def leak_suspects(month: Month) -> list[Finding]:
    """`leak:` a column that ranks the labels nearly perfectly, or a value that nearly always has the rarer label."""
    labels, known = _labels(month)
    if labels is None:
        return []
    findings = [
        _leaking_column(name, single) for name, single in single_features(month).items() if single.low > LEAK_AUC
    ]
    named = {finding.subject for finding in findings}
    values = (_leaking_value(month, name, labels, known) for name in month.features() if name not in named)
    return findings + [finding for finding in values if finding]


def _labels(month: Month) -> tuple[Floats | None, Bools]:
    labels = month.numbers(month.label) if month.label else np.full(len(month.frame), np.nan)
    known = ~np.isnan(labels)
    enough = min((labels == 1).sum(), (labels == 0).sum()) >= MIN_PER_CLASS
    return (labels[known] if enough else None), known


def _single(month: Month, name: str, labels: Floats, known: Bools, *, alpha: float) -> SingleFeature:
    values = month.numbers(name)[known]
    area = max(_by_order(values, labels), _by_rates(_codes(values), labels))
    positives = int((labels == 1).sum())
    error = auc_error(area, positives, labels.size - positives)
    return SingleFeature(area, float(area - stats.norm.isf(alpha) * error))


def _by_order(values: Floats, labels: Floats) -> float:
    filled = np.nan_to_num(values, nan=np.nanmin(values) - 1 if not np.isnan(values).all() else 0.0)
    area = auc(filled[labels == 1], filled[labels == 0])
    return max(area, 1 - area)


def _by_rates(codes: Codes, labels: Floats) -> float:
    half = np.arange(labels.size) % 2 == 0
    rows, positive = (np.bincount(codes[half], weights, codes.max() + 1) for weights in (None, labels[half]))
    rates = (positive + labels.mean()) / (rows + 1)
    scores, rest = rates[codes[~half]], labels[~half]
    return auc(scores[rest == 1], scores[rest == 0])


def _codes(values: Floats) -> Codes:
    """The codes of the levels of a column, or of its tenths if it has many; null is one more."""
    levels = np.unique(values[~np.isnan(values)])
    if levels.size > MAX_LEVELS:
        return binned(values, values)
    return np.where(np.isnan(values), levels.size, np.searchsorted(levels, values)).astype(np.int64)


def _leaking_column(name: str, single: SingleFeature) -> Finding:
    return Finding(
        f"leak:{name}",
        Severity.ERROR,
        f"{name} alone tells the labels apart with an AUC of {single.auc:.3f} (at least {single.low:.3f}): it may know "
        "the outcome.",
        "Find out when it is written: a value that is set once the outcome is known must not be a feature.",
        {"auc": single.auc, "low": single.low},
    )


def _leaking_value(month: Month, name: str, labels: Floats, known: Bools) -> Finding | None:
    values = month.numbers(name)[known]
    rarer = labels == (1.0 if labels.mean() < 0.5 else 0.0)
    codes = _codes(values)
    rows, hits = np.bincount(codes), np.bincount(codes, rarer)
    lows = [share_low(int(hit), int(n), alpha=ALARM / rows.size) for hit, n in zip(hits, rows, strict=True)]
    worst = int(np.argmax(lows))
    if lows[worst] <= LEAK_SHARE:
        return None
    example = values[codes == worst][0]
    shown = "null" if np.isnan(example) else str(month.frame[name].to_numpy()[known][codes == worst][0])
    return Finding(
        f"leak:{name}",
        Severity.ERROR,
        f"{hits[worst]:,.0f} of the {rows[worst]:,} rows where {name} is {shown} (or alike) have the rarer label, "
        f"which {rarer.mean():.2%} of all rows have: this value gives the label away.",
        "Find out when it is written: a value that is set once the outcome is known must not be a feature.",
        {"rows": float(rows[worst]), "with_the_label": float(hits[worst]), "low": lows[worst]},
    )
