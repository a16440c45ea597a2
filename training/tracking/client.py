"""Settings -> an MLflow client. The only place that sets MLflow's global state."""

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asof.errors import ConfigurationError
from asof.home import private_folder
from asof.settings import Settings
from training.tracking.address import check_tracking_address, unusable_tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient


def open_tracking(settings: Settings) -> "MlflowClient":
    """A client of the tracking server and registry. Raises ConfigurationError within five seconds if it is away."""
    check_tracking_address(settings.tracking_uri)
    import mlflow
    from mlflow.environment_variables import (
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR,
        MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT,
    )

    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.set(True)  # stdout is for results
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)  # warns about a missing pip
    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_registry_uri(settings.tracking_uri)
    with warnings.catch_warnings():
        # About MLflow's own code: a loader that SQLAlchemy 2.1 deprecates, and a type hint of its agents.
        warnings.filterwarnings("ignore", "The ``noload`` loader strategy", DeprecationWarning)
        warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType", UserWarning)
        importlib.import_module("mlflow.pyfunc")
        return _client(settings.tracking_uri)


@contextmanager
def tracked_run(
    settings: Settings, experiment: str, name: str, *, about: str = ""
) -> Iterator[tuple["MlflowClient", str]]:
    """A new run, active for the block: the client and the run's id. An error in the block marks the run as failed.

    `about` describes the experiment, if it is new.
    """
    client = open_tracking(settings)
    import mlflow
    from mlflow.environment_variables import MLFLOW_RUN_ID

    MLFLOW_RUN_ID.unset()  # MLflow would resume that run
    with mlflow.start_run(experiment_id=_experiment(client, settings, experiment, about), run_name=name) as run:
        yield client, run.info.run_id


@contextmanager
def stages_allowed() -> Iterator[None]:
    """Silences MLflow's warning that stages are deprecated; they are set for clients that still read them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(stage|latest_versions).*deprecated", category=FutureWarning)
        yield


def _client(uri: str) -> "MlflowClient":
    """A client, after one request: a refused password or another program's tables show only then."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        client = MlflowClient()
        client.search_experiments(max_results=1)
    except MlflowException as error:
        raise unusable_tracking(uri, error) from None  # the cause may contain the password
    return client


def _experiment(client: "MlflowClient", settings: Settings, name: str, about: str) -> str:
    """The id of the experiment, created if it is new; without a server its artifacts are in the home folder.

    MLflow's page of it opens on its runs and models, not on traces.
    """
    from mlflow.exceptions import MlflowException

    if experiment := client.get_experiment_by_name(name):
        return str(experiment.experiment_id)
    artifacts = settings.home.absolute() / "artifacts"
    served = settings.tracking_uri.startswith("http")
    if not served:
        private_folder(artifacts)
    tags = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": about}
    try:
        return str(client.create_experiment(name, None if served else artifacts.as_uri(), tags))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return str(client.get_experiment_by_name(name).experiment_id)  # by another process


def error_code(error: Exception) -> str | None:
    """The code of an MlflowException, without importing MLflow; None for any other error."""
    return getattr(error, "error_code", None)


def has_registry(settings: Settings) -> bool:
    """Whether MLflow answers and has its tables; a client would create them."""
    try:
        tables = check_tracking_address(settings.tracking_uri)
    except ConfigurationError:
        return False
    return tables is None or "registered_models" in tables
