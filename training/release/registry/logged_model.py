"""A registered version, or a run's id -> LoggedModel."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asof.errors import ModelError
from asof.model_facts import ModelFacts
from asof.settings import Settings
from asof.use_case import UseCase
from training.release.registry.tags import model_tag
from training.release.registry.versions import ModelVersion
from training.tracking.artifacts import read_mlmodel
from training.tracking.client import error_code
from training.tracking.registry_tables import open_registry

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True)
class LoggedModel:
    """A model in MLflow: its URI, run and facts, and its number in the registry (None: not registered)."""

    name: str
    version: str | None
    run_id: str
    uri: str
    facts: ModelFacts

    @property
    def tag(self) -> str:
        """Its tag in BentoML's model store."""
        return model_tag(self.name, self.version, self.run_id)


def of_version(version: ModelVersion) -> LoggedModel:
    """The model of a registered version."""
    return LoggedModel(version.name, version.version, version.run_id, uri=version.uri, facts=version.facts)


def of_run(settings: Settings, use_case: UseCase, run_id: str) -> LoggedModel:
    """The model that a run logged, registered or not.

    Raises ModelError where there is no such run, or where it logged no model of this use case.
    """
    client = open_registry(settings)
    uri = _model_uri(_run(client, run_id))
    metadata = (read_mlmodel(client, uri).get("metadata") or {}).get("asof")
    if metadata is None:
        raise ModelError(f"The model of run {run_id} was not trained by AsOf: train one here.")
    facts = ModelFacts.from_dict(metadata)
    if facts.use_case != use_case.name:
        raise ModelError(
            f"The model of run {run_id} is of {facts.use_case!r}, not of {use_case.name!r}: choose another run."
        )
    versions = client.search_model_versions(f"name='{use_case.model_name}' and run_id='{run_id}'")
    number = str(versions[0].version) if versions else None
    return LoggedModel(use_case.model_name, number, run_id, uri=uri, facts=facts)


def _run(client: "MlflowClient", run_id: str) -> "Run":
    try:
        run = client.get_run(run_id)
    except Exception as error:
        if error_code(error) not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise ModelError(
            f"MLflow knows no run {run_id!r}: look its id up in MLflow, or run `python -m flows retrain`."
        ) from error
    if run.info.lifecycle_stage != "active":
        raise ModelError(f"Run {run_id} was deleted: restore it (`mlflow runs restore`), or choose another.")
    return run


def _model_uri(run: "Run") -> str:
    """The newest model that the run logged."""
    outputs = run.outputs.model_outputs if run.outputs else []
    if not outputs:
        raise ModelError(f"Run {run.info.run_id} ({run.info.status.lower()}) logged no model: choose a finished run.")
    return f"models:/{max(outputs, key=lambda output: output.step).model_id}"
