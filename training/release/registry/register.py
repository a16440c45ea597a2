"""Evaluation -> ModelVersion in MLflow's registry."""

from typing import TYPE_CHECKING

from asof.settings import Settings
from training.models.evaluation.cards.model_card import MODEL_CARD, with_version
from training.models.evaluation.evaluate import Evaluation
from training.models.fitting.run_record import short_digests
from training.release.registry.versions import ModelVersion, read_version, verified_folder
from training.tracking.artifacts import run_artifact
from training.tracking.client import open_tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowModelVersion


def register(settings: Settings, evaluation: Evaluation) -> ModelVersion:
    """Registers the evaluated model under its `model_name`; a run that is registered already keeps its version.

    Raises UntrustedModel where its files are not those that `training.models.evaluation.seal` signed."""
    client, name = open_tracking(settings), evaluation.model_name
    with verified_folder(settings, evaluation.model_uri) as verified:
        signer = verified.of_run(evaluation.run_id).signed_by
    _create_model(client, name)
    known = client.search_model_versions(f"name='{name}' and run_id='{evaluation.run_id}'")
    number = str((known[0] if known else _create_version(client, evaluation, signer)).version)
    _name_in_model_card(client, evaluation.run_id, number)
    return read_version(client, name, number)


def _create_version(client: "MlflowClient", evaluation: Evaluation, signer: str) -> "MlflowModelVersion":
    metrics, facts, headline = evaluation.metrics, evaluation.facts, evaluation.headline
    return client.create_model_version(
        evaluation.model_name,
        evaluation.model_uri,
        run_id=evaluation.run_id,
        model_id=evaluation.model_uri.removeprefix("models:/"),
        tags={
            "estimator": facts.estimator,
            "feature_service": facts.contract.feature_service,
            "as_of": facts.as_of.isoformat(),
            "fingerprint": facts.fingerprint,
            **short_digests(facts),
            "signed_by": signer,
            headline.metric: f"{metrics[headline.metric]:.4f}",
        },
        description=f"Estimator {facts.estimator}, features and labels as of {facts.as_of.date()}: "
        f"{headline.title} {metrics[headline.metric]:.3f} on {metrics['rows_held_out']:,.0f} held-out rows. "
        f"See {MODEL_CARD} of its run.",
    )


def _name_in_model_card(client: "MlflowClient", run_id: str, number: str) -> None:
    with run_artifact(client, run_id, MODEL_CARD) as card:
        if card:
            client.log_text(run_id, with_version(card.read_text(encoding="utf-8"), number), MODEL_CARD)


def _create_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
