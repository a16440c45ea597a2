"""A training set's rows -> training_set.parquet beside its model, and back: what a later rebuild is compared with."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as arrow
from pyarrow import parquet

from training.training_set import TrainingSet, table_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

FILE = "training_set.parquet"


def keep_rows(client: "MlflowClient", run_id: str, training_set: TrainingSet) -> None:
    """Logs every row, the incomplete ones too: Feast's types as Arrow's (`training.rows_digest.TYPES`), zstd."""
    rows = table_of(training_set.frame, training_set.contract, training_set.label)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        parquet.write_table(rows, path, compression="zstd")
        client.log_artifact(run_id, str(path))


def kept_rows(client: "MlflowClient", run_id: str) -> arrow.Table | None:
    """The rows as they were logged; None where the run is from before they were kept."""
    if FILE not in {each.path for each in client.list_artifacts(run_id)}:
        return None
    with tempfile.TemporaryDirectory() as folder:
        return parquet.read_table(client.download_artifacts(run_id, FILE, folder), memory_map=False)
