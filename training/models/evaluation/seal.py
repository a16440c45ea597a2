"""Sealing an evaluated model in MLflow: golden rows beside it, and a signed manifest of all its files."""

import numpy as np

from asof.settings import Settings
from asof.trust.golden_rows import GOLDEN_ROWS, GoldenRows
from asof.trust.signed_manifest import MANIFEST, sign_folder
from asof.trust.signing_keys import signing_key
from training.features.datasets.training_set import TrainingSet, table_of
from training.metrics.classification import Floats
from training.targets import rules_of
from training.tracking.artifacts import downloaded, log_file
from training.tracking.client import open_tracking

MAX_GOLDEN_ROWS = 32


def seal(settings: Settings, model_uri: str, run_id: str, golden: GoldenRows) -> None:
    """Logs the golden rows to the model `models:/ID`, then signs all its files, as downloaded from MLflow.

    A second call replaces both.
    """
    client, key = open_tracking(settings), signing_key(settings)
    log_file(client, model_uri, GOLDEN_ROWS, golden.to_json())
    with downloaded(settings, model_uri) as kept:
        log_file(client, model_uri, MANIFEST, sign_folder(kept, run_id, key))


def golden_rows(side: TrainingSet, predictions: Floats) -> GoldenRows:
    """Rows at equal steps in the order of their prediction, including the lowest and the highest."""
    order = np.argsort(rules_of(side.target).order(predictions), kind="stable")
    picked = order[np.unique(np.linspace(0, order.size - 1, MAX_GOLDEN_ROWS).round().astype(int))]
    rows = table_of(side.frame, side.contract, side.label).select(side.contract.names).take(picked)
    return GoldenRows(rows.to_pylist(), predictions[picked].tolist())
