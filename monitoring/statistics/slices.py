"""For which part of the entities is a version worse than for the others, and than it was?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from asof.use_case import GateBounds
from monitoring.records.figure import Subject, Verdict
from monitoring.statistics.measured import Measured, judged
from monitoring.statistics.performance import MORE_IS_BETTER, ends_of, worse_by
from training.metrics.binning import Bins
from training.metrics.classification import Estimate, Floats
from training.metrics.slicing import slices_of
from training.metrics.statistics import holm
from training.targets.rules import Labels, Rules, too_few

LARGE_GAP = 0.05
"""Of an AUC."""
LARGE_SHARE = 0.1
"""Of an error: by how much of the others' it is greater."""


@dataclass(frozen=True)
class Slice:
    """The main figure of some rows, of all others, and of the slice at promotion; None where there is none."""

    metric: str
    rows: int
    own: Estimate | None
    rest: Estimate | None
    promotion: Estimate | None

    @property
    def p_value(self) -> float:
        """That it is no worse than the others, or no worse than it was: the greater p-value of both, one-sided.

        An intersection-union test: Berger, Technometrics 24 (1982).
        """
        if self.own is None or self.rest is None:
            return 1.0
        others = [each for each in (self.rest, self.promotion) if each is not None]
        return max(worse_by(self.metric, self.own, each)[1] for each in others)

    @property
    def large(self) -> bool:
        """Whether it is so much worse than it was; without a figure at promotion nobody knows."""
        if self.own is None or self.promotion is None:
            return False
        gap = abs(self.own.value - self.promotion.value)
        return gap >= (LARGE_GAP if MORE_IS_BETTER.get(self.metric) else LARGE_SHARE * self.promotion.value)


def slices(
    rules: Rules,
    bins: Mapping[str, Bins],
    columns: Mapping[str, NDArray[Any]],
    *,
    labels: Labels,
    predictions: Floats,
    promotion: Mapping[str, Estimate],
    bounds: GateBounds = GateBounds(),  # noqa: B008
) -> list[Measured]:
    """The target's main figure for each bin of each column, beside that of all other rows, as `column=bin`.

    `columns` are the values of the rows of `labels` and `predictions`, of which none is NaN. Some slices are harder
    than others by nature, as rows that are alike are harder to rank. So an alarm is for one that is worse than the
    others and worse than it was, beyond chance by Holm over all slices, and by much. A slice, or its others, with fewer
    rows than the gate needs has no verdict.
    """
    metric, found, few = rules.headline.metric, {}, set()
    for name, rows in slices_of(bins, columns):
        own, rest = (rules.estimates(labels[side], predictions[side]).get(metric) for side in (rows, ~rows))
        found[name] = Slice(metric, int(rows.sum()), own, rest, promotion.get(name))
        if any(too_few(rules, labels[side], bounds) for side in (rows, ~rows)):
            few.add(name)
    p_values = holm({name: each.p_value for name, each in found.items() if name not in few})
    return [_measured(name, each, p_values.get(name)) for name, each in found.items()]


def _measured(about: str, each: Slice, p_value: float | None) -> Measured:
    verdict = Verdict.TOO_FEW if p_value is None else judged(Subject.SLICE, p_value, large=each.large)
    value, low, high = ends_of(each.own) or (None, None, None)
    detail = {"p_value": p_value, "rest": ends_of(each.rest), "promotion": ends_of(each.promotion)}
    return Measured(Subject.SLICE, each.metric, value, each.rows, about, low, high, verdict, detail)
