"""The reference of a version in its run: written by evaluation, read by monitoring."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from asof.features.feature_contract import FeatureContract
from asof.settings import Settings
from training.metrics.classification import Floats, with_intervals
from training.models.evaluation.reference import Reference, finite_ends, reference_of_model, reference_of_rows
from training.models.fitting.fit import FittedModel
from training.models.fitting.logged_rows import logged_rows
from training.models.fitting.run_record import SCHEMA_FILE
from training.tracking.artifacts import run_artifact
from training.tracking.client import open_tracking

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

REFERENCE_FILE = "reference.json"


def record_reference(client: "MlflowClient", run_id: str, fitted: FittedModel, predictions: Floats) -> None:
    """Logs the reference to the run; `predictions` are those of the held-out rows."""
    client.log_dict(run_id, reference_of_model(fitted, predictions).to_dict(), REFERENCE_FILE)


def reference_of(settings: Settings, run_id: str) -> Reference | None:
    """The reference of a run. Of an older version, which has none, its metrics and what its training rows tell; None
    without these.

    Raises ConfigurationError where MLflow is away, MlflowException where it does not know the run.
    """
    client = open_tracking(settings)
    with run_artifact(client, run_id, REFERENCE_FILE) as path:
        if path:
            return Reference.from_dict(json.loads(path.read_text(encoding="utf-8")))
    return _of_older_version(client, run_id)


def training_rows(settings: Settings, run_id: str) -> "tuple[pd.DataFrame, FeatureContract] | None":
    """The rows of a run's training set, incomplete ones too, with their keys; None where the run has not kept them."""
    return _rows(open_tracking(settings), run_id)


def _of_older_version(client: "MlflowClient", run_id: str) -> Reference | None:
    found = _rows(client, run_id)
    if found is None:
        return None
    metrics = with_intervals(client.get_run(run_id).data.metrics)
    return replace(reference_of_rows(*found), metrics={name: finite_ends(each) for name, each in metrics.items()})


def _rows(client: "MlflowClient", run_id: str) -> "tuple[pd.DataFrame, FeatureContract] | None":
    import pandas as pd
    import pyarrow as arrow

    rows = logged_rows(client, run_id)
    with run_artifact(client, run_id, SCHEMA_FILE) as path:
        if rows is None or path is None:
            return None
        contract = FeatureContract.from_dict(json.loads(path.read_text(encoding="utf-8")))
    types = {arrow.bool_(): pd.BooleanDtype(), arrow.int64(): pd.Int64Dtype()}
    columns = [*contract.keys.names, *contract.names]
    if not {*columns} <= {*rows.column_names} or not rows.num_rows:
        return None
    return rows.select(columns).to_pandas(types_mapper=types.get), contract
