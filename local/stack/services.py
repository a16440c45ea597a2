"""Settings in, the background servers out: MLflow UI, Prefect server, prediction service."""

from datetime import datetime

from pydantic import SecretStr

from asof.errors import ConfigurationError
from asof.settings import NOT_FOR_SERVERS, Settings
from local.stack.background import ADDRESS, Service

PREDICTION = "prediction"
NAMES = ("mlflow", "prefect", PREDICTION)


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


def prediction_service(settings: Settings, bento: str) -> Service:
    """The prediction service from a built Bento `name:version`. Raises ConfigurationError where it does not exist."""
    name, _, version = bento.partition(":")
    folder = settings.bentoml_home / "bentos"  # asking BentoML's command costs two seconds
    if not version or not (folder / name / version).is_dir():
        raise ConfigurationError(f"There is no Bento {bento} in {folder}: `python -m flows bundle` builds it.")
    words = ("serve", bento)
    return Service(PREDICTION, "the prediction service", "bentoml", words, settings.port, "/readyz", _all(settings))


def _all(settings: Settings) -> dict[str, str]:
    """Every setting that a server may see, as a variable: it runs from the Bento, which holds no .env file.

    One that is unset is told as empty, whatever the environment of whoever starts the service says.
    """
    values = {name: getattr(settings, name) for name in type(settings).model_fields if name != "mlflow_tracking_uri"}
    values["answer_log"] = settings.answer_log_file
    told = {f"ASOF_{name.upper()}": "" if value is None else _text(value) for name, value in values.items()}
    return {name: value for name, value in told.items() if name not in NOT_FOR_SERVERS} | settings.environment()


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return value.isoformat() if isinstance(value, datetime) else str(value)
