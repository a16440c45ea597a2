"""The servers of the stack: MLflow UI, Prefect server, the console, a prediction service for each use case."""

from datetime import datetime

from pydantic import SecretStr

from asof.errors import ConfigurationError
from asof.settings import NOT_FOR_SERVERS, PROJECT, Settings
from local.stack.background import ADDRESS, Service

PREDICTION = "prediction"
"""Begins the names of prediction services; by itself, that of one whose use case is not known."""
SERVERS = ("mlflow", "prefect", "console")


def prediction_name(use_case: str) -> str:
    """The name of the use case's prediction service."""
    return f"{PREDICTION}-{use_case}"


def mlflow_service(settings: Settings) -> Service | None:
    """The MLflow UI on our tracking database; None if MLFLOW_TRACKING_URI is a server.

    The database URL is passed by the environment, as every user can read arguments and it contains the password.
    """
    if settings.tracking_uri.startswith("http"):
        return None
    environment = {
        "MLFLOW_BACKEND_STORE_URI": settings.tracking_uri,
        "MLFLOW_REGISTRY_STORE_URI": settings.tracking_uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PYTHONPATH": str(PROJECT),
    }
    artifacts = settings.home.resolve() / "artifacts"
    words = ("--no-serve-artifacts", "--default-artifact-root", str(artifacts), "--workers", "1")
    module = "training.tracking.mlflow_server"  # by its name: MLflow is imported there alone
    return Service("mlflow", "the MLflow UI", module, words, settings.mlflow_port, "/health", environment)


def prefect_service(settings: Settings) -> Service:
    """The Prefect server with its scheduler, on SQLite in PREFECT_HOME."""
    # Without PREFECT_UI_API_URL the UI uses port 4200, whatever the server's port (3.8.8).
    environment = {
        "PREFECT_HOME": settings.environment()["PREFECT_HOME"],
        "PREFECT_API_URL": f"{ADDRESS}/api",
        "PREFECT_UI_API_URL": f"{ADDRESS}/api",
    }
    words = ("server", "start")
    return Service("prefect", "the Prefect server", "prefect", words, settings.prefect_port, "/api/health", environment)


def console_service(settings: Settings) -> Service:
    """The console, from this checkout."""
    environment = _environment(settings) | {"PYTHONPATH": str(PROJECT)}
    return Service("console", "the console", "console", (), settings.console_port, "/livez", environment)


def prediction_service(settings: Settings, bento: str, use_case: str = "") -> Service:
    """The prediction service of a Bento `name:version`. Raises ConfigurationError if the Bento does not exist.

    Those that run side by side have the names of their use cases.
    """
    name, _, version = bento.partition(":")
    folder = settings.bentoml_home / "bentos"  # BentoML's command would take two seconds
    if not version or not (folder / name / version).is_dir():
        raise ConfigurationError(f"There is no Bento {bento} in {folder}: `python -m flows bundle USE_CASE` builds it.")
    own = prediction_name(use_case) if use_case else PREDICTION
    title = f"the prediction service of {use_case}" if use_case else "the prediction service"
    return Service(own, title, "bentoml", ("serve", bento), settings.port, "/readyz", _environment(settings))


def _environment(settings: Settings) -> dict[str, str]:
    """Every setting that a server may see, as variables, because a Bento has no .env file.

    An unset setting becomes an empty variable, so that the caller's environment has no effect.
    """
    values = {name: getattr(settings, name) for name in type(settings).model_fields if name != "mlflow_tracking_uri"}
    if "ledger" not in settings.model_fields_set:
        values["ledger"] = "process"
    variables = {f"ASOF_{name.upper()}": "" if value is None else _text(value) for name, value in values.items()}
    return {name: value for name, value in variables.items() if name not in NOT_FOR_SERVERS} | settings.environment()


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return value.isoformat() if isinstance(value, datetime) else str(value)
