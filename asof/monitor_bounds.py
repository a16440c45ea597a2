"""MonitorBounds: from where on a figure of monitoring is a reason to act."""

from dataclasses import dataclass
from datetime import timedelta
from math import isfinite

from asof.errors import ConfigurationError


@dataclass(frozen=True)
class MonitorBounds:
    """The limits of `flows monitor`. Beyond chance they hold in addition to a test: a small change is no alarm.

    `psi`: of a feature or of the scores. `joint_auc`: of telling answers from training rows. `calibration_error`: from
    where on probabilities that are no longer calibrated are a warning; twice as much is an error. `missing`: by how
    much the share of values that are missing or stale may exceed that of the training rows. `overdue`: how long after
    the end of their horizon outcomes may be incomplete. `min_rows`: below it nothing is compared. Raises
    ConfigurationError for numbers that no comparison can have.
    """

    psi: float = 0.1
    joint_auc: float = 0.6
    calibration_error: float = 0.05
    missing: float = 0.05
    overdue: timedelta = timedelta(days=7)
    min_rows: int = 200

    def __post_init__(self) -> None:
        limits = {"psi": self.psi, "calibration_error": self.calibration_error, "missing": self.missing}
        wrong = [name for name, value in limits.items() if not (isfinite(value) and value >= 0)]
        wrong += [] if 0.5 <= self.joint_auc <= 1 else ["joint_auc"]
        wrong += [] if self.overdue >= timedelta() else ["overdue"]
        wrong += [] if self.min_rows >= 2 else ["min_rows"]
        if wrong:
            raise ConfigurationError(
                f"The bounds of monitoring {', '.join(wrong)} are out of range: see asof/monitor_bounds.py."
            )
