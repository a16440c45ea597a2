"""VersionWindow: one version in one window, which a figure is about."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitoring.records.figure import Figure, Subject


@dataclass(frozen=True)
class VersionWindow:
    """A version and a window."""

    version: str
    as_of: datetime

    def figure(self, subject: Subject, metric: str, value: float | None, n: int, **more: Any) -> Figure:
        """A figure about it; `more` are about, low, high, verdict and detail."""
        return Figure(subject, metric, value, n, self.as_of, self.version, **more)
