"""GateBounds: what a use case asks of a version before it may go into Production."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GateBounds:
    """The margins of the comparison with the version in Production, and what each version must keep.

    `auc_margin`: the AUC must be greater by more than this at the lower end of the 95 % interval of the difference.
    `log_loss_margin`: the mean log loss may be greater by less than this at the upper end of its interval: the better
    order of users must not be paid for with worse probabilities. `calibration_error`: the greatest expected
    calibration error (0 to 1), where the rows are enough to tell it from chance. `latency_seconds`: the greatest
    median time of one prediction without its lookup.
    """

    auc_margin: float = 0.0
    log_loss_margin: float = 0.01
    calibration_error: float = 0.05
    latency_seconds: float = 0.1
