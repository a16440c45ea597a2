"""Evaluation -> ModelVersion in MLflow's registry."""

from typing import TYPE_CHECKING

from asof.settings import Settings
from training.models.evaluation.evaluate import Evaluation
from training.release.registry.versions import ModelVersion, read_version, verified_folder
from training.tracking.client import open_tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient


def register(settings: Settings, evaluation: Evaluation) -> ModelVersion:
    """Registers the evaluated model under its `model_name`; a run that is registered already keeps its version.

    Raises UntrustedModel where its files are not those that `training.models.evaluation.seal` signed."""
    client, name = open_tracking(settings), evaluation.model_name
    with verified_folder(settings, evaluation.model_uri) as verified:
        signer = verified.of_run(evaluation.run_id).signed_by
    _create_model(client, name)
    if known := client.search_model_versions(f"name='{name}' and run_id='{evaluation.run_id}'"):
        return read_version(client, name, str(known[0].version))
    created = client.create_model_version(
        name,
        evaluation.model_uri,
        run_id=evaluation.run_id,
        model_id=evaluation.model_uri.removeprefix("models:/"),
        tags={
            "estimator": evaluation.facts.estimator,
            "feature_service": evaluation.facts.contract.feature_service,
            "as_of": evaluation.facts.as_of.isoformat(),
            "fingerprint": evaluation.facts.fingerprint,
            "rows_digest": evaluation.facts.rows_digest,
            "model_digest": evaluation.facts.model_digest,
            "signed_by": signer,
            "auc": f"{evaluation.metrics['auc']:.4f}",
        },
    )
    return read_version(client, name, str(created.version))


def _create_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
