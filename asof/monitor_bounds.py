"""MonitorBounds: from where on a figure of monitoring is a reason to act."""

from dataclasses import dataclass
from datetime import timedelta
from math import isfinite

from asof.errors import ConfigurationError


@dataclass(frozen=True)
class MonitorBounds:
    """The limits of `flows monitor`. They hold in addition to a test: what is beyond chance may still be small.

    `psi`: of a feature or of the scores. `joint_auc`: of telling answers from training rows. `missing`: by how much the
    share of values that are missing or stale may exceed that of the training rows. `overdue`: how long after the end of
    their horizon outcomes may be incomplete. `min_rows`: below it no distribution is compared. Those of calibration and
    performance are the gate's. Raises ConfigurationError for numbers that no comparison can have.
    """

    psi: float = 0.1
    joint_auc: float = 0.6
    missing: float = 0.05
    overdue: timedelta = timedelta(days=7)
    min_rows: int = 200

    def __post_init__(self) -> None:
        shares = {"psi": self.psi, "missing": self.missing}
        wrong = [name for name, limit in shares.items() if not (isfinite(limit) and limit >= 0)]
        wrong += [] if 0.5 <= self.joint_auc <= 1 else ["joint_auc"]
        wrong += [] if self.overdue >= timedelta() else ["overdue"]
        wrong += [] if self.min_rows >= 2 else ["min_rows"]
        if wrong:
            raise ConfigurationError(
                f"The bounds of monitoring {', '.join(wrong)} are out of range: see asof/monitor_bounds.py."
            )
