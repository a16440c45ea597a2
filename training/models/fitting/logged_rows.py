"""A training set's rows as an artifact of the model's run, training_set.parquet: a rebuild is compared with it."""

import json
from typing import TYPE_CHECKING

import pyarrow as arrow
from pyarrow import parquet

from asof.errors import TrainingSetError
from asof.model_facts import ModelFacts
from training.features.datasets.rows_digest import rows_digest
from training.features.datasets.training_set import TrainingSet, column_types, label_type_of, table_of
from training.models.fitting.run_record import DEFINITION_FILE
from training.tracking.artifacts import logged_to_run, run_artifact

if TYPE_CHECKING:
    from mlflow import MlflowClient

ROWS_FILE = "training_set.parquet"
DIGEST_LENGTH = 12
"""As many characters of a digest as the terminal shows."""


def log_rows(client: "MlflowClient", run_id: str, training_set: TrainingSet, *, name: str) -> None:
    """Logs every row, incomplete ones too, in the Arrow types of `training.features.datasets.rows_digest.TYPES`.

    They are the run's data set of that name, whose digest is the beginning of the fingerprint.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    rows = table_of(training_set.frame, training_set.contract, training_set.label)
    with logged_to_run(client, run_id) as folder:
        parquet.write_table(rows, folder / ROWS_FILE, compression="zstd")
    source, profile = json.dumps({"uri": f"runs:/{run_id}/{ROWS_FILE}"}), json.dumps({"num_rows": rows.num_rows})
    digest = training_set.fingerprint[:DIGEST_LENGTH]
    dataset = Dataset(name, digest, source_type="run", source=source, profile=profile)
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def logged_rows(client: "MlflowClient", run_id: str) -> arrow.Table | None:
    """The rows, or None where the run has no such artifact."""
    with run_artifact(client, run_id, ROWS_FILE) as path:
        return parquet.read_table(path) if path else None


def rows_match(rows: arrow.Table, facts: ModelFacts, label: str) -> bool:
    """Whether the rows have the digest of those that the model was trained on."""
    if label not in rows.column_names:
        return False
    types = column_types(facts.contract, label, label_type_of(rows, label))
    try:
        return set(types) <= {*rows.column_names} and (
            rows_digest([rows], types, key=facts.contract.keys.names) == facts.rows_digest
        )
    except TrainingSetError:
        return False


def logged_definition(client: "MlflowClient", run_id: str) -> str | None:
    """The SQL of the training set, or None where the run has no such artifact."""
    with run_artifact(client, run_id, DEFINITION_FILE) as path:
        return path.read_text(encoding="utf-8") if path else None
