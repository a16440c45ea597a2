"""Settings in, the background servers out: MLflow UI, Prefect server, prediction service and its front door."""

import os
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from asof.errors import ConfigurationError
from asof.settings import PROJECT, SIGNERS_ONLY, Settings
from local.background import ADDRESS, Service
from local.traffic import FRONT

NAMES = ("mlflow", "prefect", FRONT)
DEFAULT_BENTO = "streamflow_churn:latest"


def mlflow_service(settings: Settings) -> Service | None:
    """The MLflow UI on our tracking database; None where MLFLOW_TRACKING_URI names a server already.

    The address goes by the environment: it holds the password, and arguments can be read by everybody.
    """
    if settings.tracking_uri.startswith("http"):
        return None
    environment = {
        "MLFLOW_BACKEND_STORE_URI": settings.tracking_uri,
        "MLFLOW_REGISTRY_STORE_URI": settings.tracking_uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    artifacts = settings.home.resolve() / "artifacts"
    words = ("server", "--no-serve-artifacts", "--default-artifact-root", str(artifacts), "--workers", "1")
    return Service("mlflow", "the MLflow UI", "mlflow", words, settings.mlflow_port, "/health", environment)


def prefect_service(settings: Settings) -> Service:
    """The Prefect server with its scheduler, on SQLite in PREFECT_HOME."""
    # Without PREFECT_UI_API_URL the UI asks port 4200, whatever the port (3.8.8).
    environment = {
        "PREFECT_HOME": settings.environment()["PREFECT_HOME"],
        "PREFECT_API_URL": f"{ADDRESS}/api",
        "PREFECT_UI_API_URL": f"{ADDRESS}/api",
    }
    words = ("server", "start")
    return Service("prefect", "the Prefect server", "prefect", words, settings.prefect_port, "/api/health", environment)


def prediction_service(settings: Settings, bento: str = DEFAULT_BENTO) -> Service | None:
    """The prediction service from a built Bento `name:version`; None where there is no Bento of this name.

    `latest` is resolved here, so that a newer Bento makes a running service the wrong one. Raises ConfigurationError
    where a version is named that does not exist.
    """
    tag = _resolve(bento)
    if tag is None:
        return None
    words = ("serve", tag)
    return Service("prediction", "the prediction service", "bentoml", words, settings.port, "/readyz", _all(settings))


def front_service(settings: Settings) -> Service:
    """The front door on the prediction service's port; the backend behind it is `local.swap`'s."""
    words = (str(settings.home.resolve() / "run"),)
    environment = {"PYTHONPATH": str(PROJECT)}
    return Service(
        FRONT, "the prediction service's front door", "local.front", words, settings.port, "/readyz", environment
    )


def bentoml_home() -> Path:
    """Where BentoML keeps its stores, and a folder of metrics that every starting service empties."""
    return Path(os.environ.get("BENTOML_HOME", Path.home() / "bentoml"))


def _resolve(bento: str) -> str | None:
    """BentoML keeps `bentos/NAME/VERSION` and a file `latest`; asking its command costs two seconds."""
    name, _, version = bento.partition(":")
    folder = bentoml_home() / "bentos" / name
    newest = folder / "latest"
    if version in ("", "latest"):
        return f"{name}:{newest.read_text().strip()}" if newest.is_file() else None
    if not (folder / version).is_dir():
        raise ConfigurationError(f"There is no Bento {bento} in {folder.parent}: see `bentoml list`.")
    return bento


def _all(settings: Settings) -> dict[str, str]:
    """Every setting that a server may see, as a variable: it runs from the Bento, which holds no .env file."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields if name != "mlflow_tracking_uri"}
    values["answer_log"] = settings.answers
    told = {f"ASOF_{name.upper()}": _text(value) for name, value in values.items() if value is not None}
    return {name: value for name, value in told.items() if name not in SIGNERS_ONLY} | settings.environment()


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return value.isoformat() if isinstance(value, datetime) else str(value)
