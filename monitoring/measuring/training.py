"""What is kept of a version's training, to compare later months with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.features.feature_contract import model_frame
from asof.settings import Settings
from training.features.datasets.training_set import finite_rows
from training.metrics.classification import Estimate, with_intervals
from training.models.evaluation.reference import Reference
from training.models.evaluation.reference_file import reference_of, training_rows
from training.tracking.client import error_code
from training.tracking.registry_tables import open_registry


@dataclass(frozen=True)
class TrainingColumns:
    """The complete training rows: features as `input_arrays` has them, and the entities as the ledger writes them."""

    values: Mapping[str, NDArray[Any]]
    entities: NDArray[np.object_]


@dataclass(frozen=True)
class Training:
    """What the run of a version kept; read once for all windows.

    `reference`: the training rows and held-out scores in bins, None where none is kept; `promotion`: the figures of the
    held-out rows, which each version has among its metrics.
    """

    settings: Settings | None = None
    run_id: str = ""
    reference: Reference | None = None
    promotion: Mapping[str, Estimate] = field(default_factory=dict)

    @cached_property
    def columns(self) -> TrainingColumns | None:
        """The training rows; None where the run has not kept them."""
        found = training_rows(self.settings, self.run_id) if self.settings and self.reference else None
        if found is None:
            return None
        frame, contract = found
        features = model_frame(frame, contract)
        complete = finite_rows(features)
        keys, values = frame.loc[complete, [*contract.keys.names]], features[complete]
        entities = [contract.keys.text(contract.keys.from_row(each)) for each in keys.itertuples(index=False)]
        columns = {name: values[name].to_numpy() for name in contract.names}
        return TrainingColumns(columns, np.array(entities, dtype=object))


NOTHING = Training()


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
    known = reference.estimates if reference else with_intervals(metrics)
    return Training(settings, run_id, reference, known)
