"""A version, or a run's model -> the model in BentoML's store, and the Bento that serves it. Nothing is made twice."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from asof.errors import ModelError, UntrustedModel
from asof.inference.served_model import MLFLOW_FOLDER
from asof.settings import Settings
from asof.trust.signed_manifest import verify_folder
from asof.trust.signing_keys import TrustedKeys, public_text, trusted_keys
from asof.use_case import UseCase
from training.release.bundling.bento_build import build, find, latest, make_latest
from training.release.registry.logged_model import LoggedModel, of_run, of_version
from training.release.registry.tags import bento_tag
from training.release.registry.versions import ModelVersion, production
from training.tracking.client import open_tracking


@dataclass(frozen=True)
class Bundle:
    """Tags of BentoML's stores, the run and the registry's version inside, and whether the Bento was built just now.

    `version` is None where the run's model is not registered.
    """

    model_tag: str
    bento_tag: str
    version: str | None
    run_id: str
    created: bool


def bundle(
    settings: Settings, use_case: UseCase, version: ModelVersion | None = None, *, run_id: str | None = None
) -> Bundle:
    """Imports a model and builds its Bento, where they do not exist yet: that of the version, of the run, or else of
    the version in Production.

    The tags follow from the model and the packaged sources: same input, same tags. `NAME:latest` is this Bento
    afterwards, even where a newer one exists; only a run's Bento, which may have passed no gate, leaves it as it was.
    Raises ModelError where nothing is in Production, where the run has no model of ours, or where the model is of
    another use case or of features that the use case no longer takes; UntrustedModel where its bytes are not what a
    trusted key has signed.
    """
    chosen = _chosen(settings, use_case, version, run_id)
    use_case.check_model(chosen.facts)
    keys = trusted_keys(settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # BentoML's use of pathspec, importlib and pydantic
        import bentoml

        _import_model(settings, chosen, keys)
        tag = bento_tag(chosen.tag, keys)
        before = latest(use_case.model_name) if run_id else None
        created = build(tag, use_case=use_case.name, model=chosen.tag, trusted_keys=public_text(keys))
        make_latest(before or bentoml.bentos.get(tag))
    return Bundle(chosen.tag, tag, chosen.version, chosen.run_id, created=created)


def _chosen(settings: Settings, use_case: UseCase, version: ModelVersion | None, run_id: str | None) -> LoggedModel:
    if run_id:
        return of_run(settings, use_case, run_id)
    version = version or production(settings, use_case)
    if version is None:
        raise ModelError(f"No version of {use_case.model_name} is in Production: run `python -m flows retrain` first.")
    return of_version(version)


def _import_model(settings: Settings, model: LoggedModel, keys: TrustedKeys) -> None:
    import bentoml

    if find(bentoml.models, model.tag) is None:
        open_tracking(settings)
        lineage = _lineage(model)
        bentoml.mlflow.import_model(model.tag, model.uri, labels=lineage, metadata=lineage)
    try:  # the very bytes that go into the Bento, whenever they were imported
        verify_folder(Path(bentoml.models.get(model.tag).path_of(MLFLOW_FOLDER)), keys).of_run(model.run_id)
    except UntrustedModel:
        bentoml.models.delete(model.tag)
        raise


def _lineage(model: LoggedModel) -> dict[str, str]:
    """Only text, as BentoML's labels take it; what a model has not is left out."""
    facts = model.facts
    told = {
        "name": model.name,
        "version": model.version,
        "run_id": model.run_id,
        "fingerprint": facts.fingerprint,
        "rows_digest": facts.rows_digest,
        "feature_service": facts.contract.feature_service,
        "as_of": facts.as_of.isoformat(),
        "git_commit": facts.code_version,
    }
    return {key: value for key, value in told.items() if value}
