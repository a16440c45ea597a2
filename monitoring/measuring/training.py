"""What is kept of a version's training, to compare later months with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from asof.settings import Settings
from training.metrics.classification import Estimate
from training.models.evaluation.reference import Reference
from training.tracking.client import error_code
from training.tracking.registry_tables import open_registry


@dataclass(frozen=True)
class Training:
    """`reference`: the training rows and held-out scores in bins, None where none is kept; `promotion`: the figures of
    the held-out rows, which each version has among its metrics.
    """

    reference: Reference | None = None
    promotion: Mapping[str, Estimate] = field(default_factory=dict)


NOTHING = Training()


def reference_of(settings: Settings, run_id: str) -> Reference | None:  # noqa: ARG001 - until helper stats has it
    """The reference of a run."""
    return None


def training_of(settings: Settings, run_id: str) -> Training:
    """Of a run; nothing of one that MLflow does not know, as after an experiment was deleted."""
    if not run_id:
        return NOTHING
    try:
        metrics: Mapping[str, float] = open_registry(settings).get_run(run_id).data.metrics
    except Exception as error:
        if error_code(error) not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return NOTHING
    reference = reference_of(settings, run_id)
    return Training(reference, reference.estimates if reference else estimates_in(metrics))


def estimates_in(metrics: Mapping[str, float]) -> Mapping[str, Estimate]:
    """The metrics that have an interval; an end that is missing is infinite."""
    names = {name.rpartition("_")[0] for name in metrics if name.endswith(("_low", "_high"))}
    return {
        name: Estimate(metrics[name], metrics.get(f"{name}_low", -inf), metrics.get(f"{name}_high", inf))
        for name in sorted(names & metrics.keys())
    }
