"""The requests of a load, and their rates, exact percentiles and errors by status."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ACCEPTED, SHED = 200, (429, 503)
UNANSWERED, UNSENT = -1, -2
"""The status of a request without a response at the end, and of one that found no free connection."""


@dataclass
class Samples:
    """Three columns: when a request was due, its latency (both in seconds), and its status."""

    moments: "array[float]" = field(default_factory=lambda: array("d"))
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    statuses: "array[int]" = field(default_factory=lambda: array("h"))

    def add(self, moment: float, latency: float, status: int) -> None:
        self.moments.append(moment)
        self.latencies.append(latency)
        self.statuses.append(status)

    def between(self, begin: float, end: float) -> "Samples":
        """Those that were due in [begin, end)."""
        moments = np.asarray(self.moments)
        rows = np.flatnonzero((moments >= begin) & (moments < end))
        columns = (self.moments, self.latencies, self.statuses)
        return Samples(*(array(each.typecode, np.asarray(each)[rows].tolist()) for each in columns))

    def answered_between(self, begin: float, end: float) -> int:
        """How many were accepted, with a response in [begin, end)."""
        answered = np.asarray(self.moments) + np.asarray(self.latencies)
        return int(np.sum((np.asarray(self.statuses) == ACCEPTED) & (answered >= begin) & (answered < end)))

    def summary(self) -> dict[str, Any]:
        """Counts of accepted, shed (429, 503) and failed requests; percentiles of the accepted ones in ms."""
        statuses = Counter(self.statuses)
        accepted, shed = statuses[ACCEPTED], sum(statuses[status] for status in SHED)
        latencies = np.asarray(self.latencies)[np.asarray(self.statuses) == ACCEPTED]
        return {
            "requests": len(self.statuses),
            "accepted": accepted,
            "shed": shed,
            "failed": len(self.statuses) - accepted - shed,
            "errors": {str(status): count for status, count in sorted(statuses.items()) if status != ACCEPTED},
            **percentiles(latencies * 1000),
        }


def percentiles(milliseconds: Sequence[float] | np.ndarray[Any, Any]) -> dict[str, float | None]:
    """p50, p99, p99.9 and the maximum, each one of the values; None without values."""
    names = {"p50_ms": 50, "p99_ms": 99, "p999_ms": 99.9, "max_ms": 100}
    if not len(milliseconds):
        return dict.fromkeys(names)
    values = np.percentile(milliseconds, list(names.values()), method="higher")
    return {name: round(float(value), 3) for name, value in zip(names, values, strict=True)}
