"""A training set's rows -> training_set.parquet in its model's run, and back: what a later rebuild is compared with."""

from typing import TYPE_CHECKING

import pyarrow as arrow
from pyarrow import parquet

from asof.errors import TrainingSetError
from asof.model_facts import ModelFacts
from training.features.datasets.rows_digest import rows_digest
from training.features.datasets.training_set import TrainingSet, column_types, table_of
from training.models.fitting.run_record import DEFINITION
from training.tracking.artifacts import logged_to_run, run_artifact

if TYPE_CHECKING:
    from mlflow import MlflowClient

ROWS = "training_set.parquet"


def keep_rows(client: "MlflowClient", run_id: str, training_set: TrainingSet) -> None:
    """Logs every row, the incomplete ones too: Feast's types as Arrow's
    (`training.features.datasets.rows_digest.TYPES`), zstd."""
    rows = table_of(training_set.frame, training_set.contract, training_set.label)
    with logged_to_run(client, run_id) as folder:
        parquet.write_table(rows, folder / ROWS, compression="zstd")


def kept_rows(client: "MlflowClient", run_id: str) -> arrow.Table | None:
    """The rows as they were logged; None where the run keeps none."""
    with run_artifact(client, run_id, ROWS) as path:
        return parquet.read_table(path) if path else None


def are_those(kept: arrow.Table, facts: ModelFacts, label: str) -> bool:
    """Whether the kept rows have the digest that the version recorded: what it was trained on."""
    types = column_types(facts.contract, label)
    try:
        return set(types) <= {*kept.column_names} and (
            rows_digest([kept], types, key=[facts.contract.entity]) == facts.rows_digest
        )
    except TrainingSetError:
        return False


def kept_definition(client: "MlflowClient", run_id: str) -> str | None:
    """The SQL of the rows as `run_record.record_definition` logged it; None where the run keeps none."""
    with run_artifact(client, run_id, DEFINITION) as path:
        return path.read_text(encoding="utf-8") if path else None
