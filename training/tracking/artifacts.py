"""Files logged to a model's folder in MLflow."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient


def log_file(client: "MlflowClient", model_uri: str, name: str, content: bytes) -> None:
    """Adds a file to all that MLflow keeps of the model `models:/ID`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        client.log_model_artifact(model_uri.removeprefix("models:/"), str(path))
