"""A month with labels -> leaking features: a single column that predicts the label too well."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from training.inspection.finding import Finding, Severity
from training.inspection.month import Bools, Codes, Month
from training.metrics.classification import Floats
from training.metrics.statistics import ALARM, auc, auc_error, binned, share_low

MAX_LEVELS = 50
MIN_PER_CLASS = 30


@dataclass(frozen=True)
class SingleFeature:
    """The AUC of a single column, and its lower bound, adjusted for all columns."""

    auc: float
    low: float


def single_features(month: Month) -> Mapping[str, SingleFeature]:
    """Each column as a model: the better AUC of its order, and of the label rate of its tenths or levels.

    Where the labels are several outcomes (`Rules.events`), the best of them. Rates are estimated on every second row
    and scored on the rest; null is a level. Empty without labels, or where an outcome has too few.
    """
    outcomes, known = _outcomes(month)
    names = month.features()
    alpha = ALARM / max(len(names) * len(outcomes), 1)  # Bonferroni
    return {
        name: max((_single(month, name, each, known, alpha=alpha) for each in outcomes), key=lambda found: found.low)
        for name in names
        if outcomes
    }


def leak_suspects(month: Month) -> list[Finding]:
    """`leak:` a column that ranks the labels nearly perfectly, or a value that nearly always has the rarer label."""
    outcomes, known = _outcomes(month)
    if not outcomes:
        return []
    limit = month.rules.leak_auc
    findings = [_leaking_column(name, each) for name, each in single_features(month).items() if each.low > limit]
    named = {finding.subject for finding in findings}
    others = [name for name in month.features() if name not in named]
    values = (_leaking_value(month, name, each, known) for name in others for each in outcomes)
    by_name = {finding.name: finding for finding in values if finding}
    return findings + list(by_name.values())


def _outcomes(month: Month) -> tuple[list[Floats], Bools]:
    """The outcomes as ones and zeros, without those that too few rows have or have not; and which rows have a label."""
    labels = month.encoded_labels() if month.label else np.full(len(month.frame), np.nan)
    known = ~np.isnan(labels)
    events = month.rules.events(labels[known]) if known.any() else []
    enough = [each for each in events if min(each.sum(), (~each).sum()) >= MIN_PER_CLASS]
    return [each.astype(np.float64) for each in enough], known


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
    if lows[worst] <= month.rules.leak_share:
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
