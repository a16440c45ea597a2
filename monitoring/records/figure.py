"""Figure: one number about one version, in one window, with its interval and what it was computed from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Subject(StrEnum):
    """What a figure is about."""

    VOLUME = "volume"
    """Answers, refusals by code, verdicts by feature."""
    MATURITY = "maturity"
    """Shares of predictions whose outcome is known."""
    DRIFT = "drift"
    """One feature beside the training set."""
    JOINT_SHIFT = "joint-shift"
    SCORE_SHIFT = "score-shift"
    ESTIMATED = "estimated-performance"
    """Performance before outcomes are known: holds only while the concept does."""
    PERFORMANCE = "performance"
    CALIBRATION = "calibration"
    SLICE = "slice"
    """Performance of a part of the entities."""
    AUDIT = "audit"
    SHADOW = "shadow"


class Verdict(StrEnum):
    """Whether a figure is a reason to act."""

    OK = "ok"
    NOTICE = "notice"
    """Beyond chance, but not large."""
    ALARM = "alarm"
    TOO_FEW = "too-few"
    """Too few rows to say."""


@dataclass(frozen=True)
class Figure:
    """One number. `low` and `high` are the ends of its 95 % interval, None where there is none; `n` its rows.

    `as_of` is the window: the moment of the predictions, or the first day of their month where features are
    given in requests.
    `about` is the feature, the slice (`column=value`), or the code that it is about; empty: all. `detail` has what a
    reader needs besides (`p_value`, `condition`, `expected`, bins).
    """

    subject: Subject
    metric: str
    value: float | None
    n: int
    as_of: datetime
    version: str
    about: str = ""
    low: float | None = None
    high: float | None = None
    verdict: Verdict = Verdict.OK
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class VersionWindow:
    """A version in a window, which figures are about."""

    version: str
    as_of: datetime

    def figure(self, subject: Subject, metric: str, value: float | None, n: int, **more: Any) -> Figure:
        """A figure about it; `more` are about, low, high, verdict and detail."""
        return Figure(subject, metric, value, n, self.as_of, self.version, **more)
