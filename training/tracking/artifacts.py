"""Downloads and uploads of artifacts of models and runs in MLflow."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from asof.settings import Settings
from training.tracking.client import open_tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient


@contextmanager
def downloaded(settings: Settings, uri: str) -> Iterator[Path]:
    """A copy of a model or of one of its files (`models:/...`), for a block.

    Raises MlflowException or OSError where there is none.
    """
    open_tracking(settings)
    import mlflow

    with TemporaryDirectory() as folder:
        yield Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))


@contextmanager
def run_artifact(client: "MlflowClient", run_id: str, name: str) -> Iterator[Path | None]:
    """A copy of a run's artifact, for a block; None where there is no such artifact."""
    if name not in {each.path for each in client.list_artifacts(run_id)}:
        yield None
        return
    with TemporaryDirectory() as folder:
        yield Path(client.download_artifacts(run_id, name, folder))


@contextmanager
def logged_to_run(client: "MlflowClient", run_id: str, folder: str | None = None) -> Iterator[Path]:
    """A temporary folder; what the block writes there is logged to the run, in `folder` of its artifacts."""
    with TemporaryDirectory() as drafts:
        yield Path(drafts)
        client.log_artifacts(run_id, drafts, folder)


def log_file(client: "MlflowClient", model_uri: str, name: str, content: bytes) -> None:
    """Logs a file to the model `models:/ID`."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        client.log_model_artifact(model_uri.removeprefix("models:/"), str(path))
