"""Downloads and uploads of artifacts of models and runs in MLflow."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from asof.settings import Settings
from training.tracking.client import open_tracking
from training.tracking.registry_tables import RegistryTables, open_registry

if TYPE_CHECKING:
    from mlflow import MlflowClient

MLMODEL = "MLmodel"


@contextmanager
def downloaded(settings: Settings, uri: str) -> Iterator[Path]:
    """A copy of a model or of one of its files (`models:/...`), for a block.

    Raises MlflowException or OSError where there is none.
    """
    local = _on_this_machine(open_registry(settings), uri)
    with TemporaryDirectory() as folder:
        if local:
            copy = shutil.copy if local.is_file() else shutil.copytree
            yield Path(copy(local, Path(folder) / local.name))
        else:
            import mlflow

            open_tracking(settings)
            yield Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))


def read_mlmodel(client: "MlflowClient", uri: str) -> Mapping[str, Any]:
    """The content of the file MLmodel of a model `models:/...`, which names its files and its metadata."""
    if path := _on_this_machine(client, f"{uri}/{MLMODEL}"):
        return parse_mlmodel(path)
    import mlflow

    content: Mapping[str, Any] = mlflow.models.Model.load(uri).to_dict()
    return content


def parse_mlmodel(path: Path) -> Mapping[str, Any]:
    """The content of a file MLmodel."""
    import yaml

    content: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def _on_this_machine(client: "MlflowClient", uri: str) -> Path | None:
    return client.local_model(uri) if isinstance(client, RegistryTables) else None


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
