"""Measured: a figure before it is known of which version and window it is; and how the level of a run is spent.

A run compares one window of one version with what was known at its training. All its tests together alarm by chance in
at most LEVEL of the windows in which nothing has changed: each subject has a part of the level (Bonferroni), within
which its tests are corrected by Holm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from monitoring.records.figure import Figure, Subject, Verdict

LEVEL = 0.05
LEVELS: Mapping[Subject, float] = {
    Subject.DRIFT: 0.01,
    Subject.JOINT_SHIFT: 0.01,
    Subject.SCORE_SHIFT: 0.01,
    Subject.PERFORMANCE: 0.01,
    Subject.CALIBRATION: 0.005,
    Subject.SLICE: 0.005,
}
"""The parts of LEVEL."""

MIN_ROWS = 200
"""Of either sample, for a comparison of distributions."""


@dataclass(frozen=True)
class Measured:
    """The fields of a `Figure` but version and window."""

    subject: Subject
    metric: str
    value: float | None
    n: int
    about: str = ""
    low: float | None = None
    high: float | None = None
    verdict: Verdict = Verdict.OK
    detail: Mapping[str, Any] = field(default_factory=dict)

    def figure(self, as_of: datetime, version: str) -> Figure:
        return Figure(as_of=as_of, version=version, **vars(self))


def judged(subject: Subject, p_value: float, *, large: bool) -> Verdict:
    """The verdict of a test: `p_value` is corrected for the tests of its subject."""
    if p_value > LEVELS[subject]:
        return Verdict.OK
    return Verdict.ALARM if large else Verdict.NOTICE
