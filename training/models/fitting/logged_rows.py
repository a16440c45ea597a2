"""A training set's rows as an artifact of the model's run, training_set.parquet: a rebuild is compared with it.

Where rows were erased, the others are logged in their place, with a record and a signed manifest of both.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as arrow
from pyarrow import parquet

from asof.errors import TrainingSetError, UntrustedModel
from asof.model_facts import ModelFacts
from asof.settings import Settings
from asof.trust.signed_manifest import FileDigest, sign_folder, verify_envelope
from asof.trust.signing_keys import signing_key, trusted_keys
from training.features.datasets.rows_digest import rows_digest
from training.features.datasets.training_set import TrainingSet, column_types, label_type_of, table_of
from training.models.fitting.run_record import DEFINITION_FILE
from training.tracking.artifacts import logged_to_run, run_artifact

if TYPE_CHECKING:
    from mlflow import MlflowClient

ROWS_FILE = "training_set.parquet"
ERASED_FILE, ERASED_MANIFEST = "training_set_erased.json", "training_set_manifest.json"
DIGEST_LENGTH = 12
"""As many characters of a digest as the terminal shows."""


@dataclass(frozen=True)
class ErasedRows:
    """How many rows there were at the training, how many erasures have left, and the digests of their tombstones."""

    trained: int
    left: int
    tombstones: tuple[str, ...]


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


def log_fewer_rows(
    settings: Settings, client: "MlflowClient", run_id: str, rows: arrow.Table, erased: Sequence[int], tombstone: str
) -> None:
    """Logs the rows without those with the numbers `erased`, and the record of all erasures."""
    before = erased_rows(settings, client, run_id) or ErasedRows(rows.num_rows, rows.num_rows, ())
    tombstones = tuple(dict.fromkeys((*before.tombstones, tombstone)))
    record, gone = ErasedRows(before.trained, rows.num_rows - len(erased), tombstones), set(erased)
    with TemporaryDirectory() as name:
        folder = Path(name)
        kept = rows.filter(arrow.array([number not in gone for number in range(rows.num_rows)]))
        parquet.write_table(kept, folder / ROWS_FILE, compression="zstd")
        (folder / ERASED_FILE).write_text(json.dumps(asdict(record)))
        (folder / ERASED_MANIFEST).write_bytes(sign_folder(folder, run_id, signing_key(settings)))
        for file in (ERASED_FILE, ERASED_MANIFEST, ROWS_FILE):  # interrupted, the next erasure finds the rows
            client.log_artifact(run_id, str(folder / file))


def erased_rows(settings: Settings, client: "MlflowClient", run_id: str) -> ErasedRows | None:
    """What was erased of the run's rows; None where nothing was.

    Raises UntrustedModel where record and rows are not what a trusted key signed.
    """
    with run_artifact(client, run_id, ERASED_MANIFEST) as path:
        if path is None:
            return None
        manifest, _ = verify_envelope(path.read_bytes(), trusted_keys(settings))
    with run_artifact(client, run_id, ERASED_FILE) as path:
        content = path.read_bytes() if path else b""
    if manifest.run_id != run_id or manifest.files.get(ERASED_FILE) != _digest(content):
        raise UntrustedModel(f"{ERASED_FILE} of run {run_id} is not what was signed: erase again, or train again.")
    return ErasedRows(**json.loads(content))


def rows_are_left(settings: Settings, client: "MlflowClient", run_id: str) -> bool:
    """Whether the run's rows are those that an erasure left, as it signed them."""
    with run_artifact(client, run_id, ERASED_MANIFEST) as path:
        if path is None:
            return False
        manifest, _ = verify_envelope(path.read_bytes(), trusted_keys(settings))
    with run_artifact(client, run_id, ROWS_FILE) as path:
        return path is not None and manifest.files.get(ROWS_FILE) == _digest(path.read_bytes())


def _digest(content: bytes) -> FileDigest:
    return FileDigest(len(content), hashlib.sha256(content).hexdigest())


def logged_definition(client: "MlflowClient", run_id: str) -> str | None:
    """The SQL of the training set, or None where the run has no such artifact."""
    with run_artifact(client, run_id, DEFINITION_FILE) as path:
        return path.read_text(encoding="utf-8") if path else None
