"""A run's id -> the LoggedModel, registered or not."""

from typing import TYPE_CHECKING

from asof.errors import ModelError
from asof.model_facts import ModelFacts
from asof.settings import Settings
from asof.use_case import UseCase
from training.release.registry.versions import LoggedModel
from training.tracking.artifacts import read_mlmodel
from training.tracking.client import error_code
from training.tracking.registry_tables import open_registry

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def of_run(settings: Settings, use_case: UseCase, run_id: str) -> LoggedModel:
    """The model that a run logged, registered or not.

    Raises ModelError where there is no such run, or where it logged no model of this use case.
    """
    client = open_registry(settings)
    model_id = _model_id(_run(client, run_id))
    metadata = (read_mlmodel(client, f"models:/{model_id}").get("metadata") or {}).get("asof")
    if metadata is None:
        raise ModelError(f"The model of run {run_id} was not trained by AsOf: train one here.")
    facts = ModelFacts.from_dict(metadata)
    if facts.use_case != use_case.name:
        raise ModelError(
            f"The model of run {run_id} is of {facts.use_case!r}, not of {use_case.name!r}: choose another run."
        )
    versions = client.search_model_versions(f"name='{use_case.model_name}' and run_id='{run_id}'")
    number = str(versions[0].version) if versions else None
    return LoggedModel(use_case.model_name, number, run_id, facts, model_id=model_id)


def _run(client: "MlflowClient", run_id: str) -> "Run":
    try:
        run = client.get_run(run_id)
    except Exception as error:
        if error_code(error) not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise ModelError(
            f"MLflow knows no run {run_id!r}: look its id up in MLflow, or run `python -m flows retrain USE_CASE`."
        ) from error
    if run.info.lifecycle_stage != "active":
        raise ModelError(f"Run {run_id} was deleted: restore it (`mlflow runs restore`), or choose another.")
    return run


def _model_id(run: "Run") -> str:
    """The newest model that the run logged."""
    outputs = run.outputs.model_outputs if run.outputs else []
    if not outputs:
        raise ModelError(f"Run {run.info.run_id} ({run.info.status.lower()}) logged no model: choose a finished run.")
    return str(max(outputs, key=lambda output: output.step).model_id)
