"""Do the inputs differ from those of the training? Each feature by itself, by counts in bins made at the training."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from asof.monitor_bounds import MonitorBounds
from monitoring.records.figure import Subject, Verdict
from monitoring.statistics.measured import Measured, judged
from training.metrics.binning import Binned, Counts, without_rare_bins
from training.metrics.statistics import Effect, holm, stability, stability_interval

BOUNDS = MonitorBounds()
"""Its limit of the PSI is the usual rule of thumb: Siddiqi, Credit Risk Scorecards (2006)."""
LEAST_SHARE = 0.05
"""Of the rows of now, for a bin of its own in the PSI where the training has hardly a row."""


@dataclass(frozen=True)
class Comparison:
    """A sample beside the reference, in its bins: the PSI, its 95 % interval, and the p-value of no shift."""

    reference: Binned
    counts: Counts
    moved: Effect
    interval: tuple[float, float]

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    def enough(self, bounds: MonitorBounds) -> bool:
        return min(self.rows, self.reference.rows) >= bounds.min_rows

    def measured(self, subject: Subject, about: str, p_value: float | None, *, limit: float) -> Measured:
        """The figure `psi`; `p_value` is corrected for the subject's tests, None: too few rows."""
        verdict = Verdict.TOO_FEW if p_value is None else judged(subject, p_value, large=self.moved.size >= limit)
        low, high = self.interval[0], self.interval[1] if self.interval[1] < inf else None
        detail = {**self._shares(), "p_value": p_value}
        return Measured(subject, "psi", self.moved.size, self.rows, about, low, high, verdict, detail)

    def _shares(self) -> dict[str, Any]:
        expected = np.array(self.reference.counts) / max(self.reference.rows, 1)
        return {
            "bins": list(self.reference.bins.names),
            "expected": expected.tolist(),
            "observed": (self.counts / max(self.rows, 1)).tolist(),
            "reference_rows": self.reference.rows,
        }


def compared(reference: Binned, counts: Counts) -> Comparison:
    """The counts of now, of the reference's bins; shape (bins,).

    A few values where the training had none are beyond chance, and no large shift: in PSI, whose logarithm of an empty
    bin is great, 1.5 % of the rows above the greatest value would count 0.13.
    """
    before = np.array(reference.counts)
    tested, sized = (without_rare_bins(before, counts, least_share=share) for share in (0.0, LEAST_SHARE))
    size = stability(*sized).size
    rows, bins = sized.sum(axis=1).tolist(), int((sized.sum(axis=0) > 0).sum())
    ends = stability_interval(size, *rows, bins=bins) if min(rows) else (0.0, inf)
    return Comparison(reference, counts, Effect(size, stability(*tested).p_value), ends)


def drift(
    reference: Mapping[str, Binned], counts: Mapping[str, Counts], bounds: MonitorBounds = BOUNDS
) -> list[Measured]:
    """The figure `psi` of each feature that both have, in the reference's order.

    An alarm where the shift is beyond chance, by Holm over the features, and large; a notice where it is not large.
    Below the least rows on either side there is a value and no verdict. `counts` are of the reference's bins.
    """
    found = {name: compared(each, counts[name]) for name, each in reference.items() if name in counts}
    return tested(Subject.DRIFT, found, bounds)


def tested(subject: Subject, found: Mapping[str, Comparison], bounds: MonitorBounds) -> list[Measured]:
    """The figures of comparisons, with p-values by Holm over those that have enough rows."""
    p_values = holm({name: each.moved.p_value for name, each in found.items() if each.enough(bounds)})
    return [each.measured(subject, name, p_values.get(name), limit=bounds.psi) for name, each in found.items()]
