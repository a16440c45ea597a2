"""How good is a version on mature outcomes, beside its figures on the held-out rows of its training?"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from asof.targets import Binary
from asof.use_case import GateBounds
from monitoring.records.figure import Subject, Verdict
from monitoring.statistics.measured import LEVELS, Measured
from training.metrics.classification import QUANTILE, Estimate, Floats
from training.metrics.statistics import share_interval
from training.models.evaluation.reference import Ends, finite_ends
from training.targets.rules import Labels, Rules, too_few

MORE_IS_BETTER = {"auc": True, "r2": True}
"""Of all other figures less is better."""


def performance(
    rules: Rules,
    labels: Labels,
    predictions: Floats,
    *,
    promotion: Mapping[str, Estimate],
    bounds: GateBounds = GateBounds(),  # noqa: B008
) -> list[Measured]:
    """The target's figures with intervals, and the base rate of two classes, which is apart: it is not the model's.

    `labels` are encoded as in training, `predictions` those of the same rows. An alarm where the interval is entirely
    on the worse side of that at promotion, and the difference is beyond chance. With fewer rows than the gate needs,
    now or at promotion (which is then not known), there is a value and no verdict; without rows, or where rows of one
    class have no such figure, there is none.
    """
    labels, predictions = known_rows(labels, predictions)
    if not labels.size:
        return []
    few, found = too_few(rules, labels, bounds), rules.estimates(labels, predictions)
    level = LEVELS[Subject.PERFORMANCE] / len(found)
    figures = [
        _measured(name, each, labels.size, before=promotion.get(name), few=few, level=level)
        for name, each in found.items()
    ]
    return figures + ([_base_rate(labels, promotion.get("base_rate"))] if isinstance(rules.target, Binary) else [])


def known_rows(labels: Labels, predictions: Floats) -> tuple[Labels, Floats]:
    """The rows whose prediction is a number."""
    known = ~np.isnan(predictions.reshape(labels.size, -1)).any(axis=1) if labels.size else np.empty(0, dtype=bool)
    return labels[known], predictions[known]


def worse_by(name: str, now: Estimate, before: Estimate) -> tuple[bool, float]:
    """Whether the interval is entirely on the worse side, and the one-sided p-value of the difference.

    The p-value is normal, from the widths of both intervals.
    """
    from scipy import stats

    better = MORE_IS_BETTER.get(name, False)
    apart = now.high < before.low if better else now.low > before.high
    errors = [(each.high - each.low) / (2 * stats.norm.ppf(QUANTILE)) for each in (now, before)]
    gap = (before.value - now.value) * (1 if better else -1)
    spread = float(np.hypot(*errors))
    if not isfinite(spread):
        return False, 1.0
    return apart, float(stats.norm.sf(gap / spread)) if spread > 0 else float(gap <= 0)


def ends_of(estimate: Estimate | None) -> Ends | None:
    """`finite_ends`, or None."""
    return None if estimate is None else finite_ends(estimate)


def _measured(name: str, now: Estimate, rows: int, *, before: Estimate | None, few: bool, level: float) -> Measured:
    detail: dict[str, Any] = {"promotion": ends_of(before)}
    verdict = Verdict.TOO_FEW
    if before is not None and not few:
        apart, p_value = worse_by(name, now, before)
        detail["p_value"] = p_value
        verdict = Verdict.ALARM if apart and p_value <= level else Verdict.OK
    _, low, high = ends_of(now) or (None, None, None)
    return Measured(Subject.PERFORMANCE, name, now.value, rows, low=low, high=high, verdict=verdict, detail=detail)


def _base_rate(labels: Labels, before: Estimate | None) -> Measured:
    hits = int(labels.sum())
    low, high = share_interval(hits, labels.size)
    detail = {"promotion": ends_of(before)}
    return Measured(
        Subject.PERFORMANCE, "base_rate", hits / labels.size, labels.size, low=low, high=high, detail=detail
    )
