"""A registered version, or a run's model -> the model in BentoML's store, and the Bento that serves it."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from asof.errors import UntrustedModel
from asof.inference.served_model import MLFLOW_FOLDER
from asof.settings import Settings
from asof.trust.signed_manifest import verify_folder
from asof.trust.signing_keys import TrustedKeys, public_text, trusted_keys
from asof.use_case import UseCase
from training.release.bundling.bento_build import build, find, whole
from training.release.registry.logged_model import of_run
from training.release.registry.tags import bento_tag
from training.release.registry.versions import LoggedModel, ModelVersion, require_production
from training.tracking.client import open_tracking


@dataclass(frozen=True)
class Bundle:
    """Tags in BentoML's stores, the model's run and version (None: not registered), and whether this call built it."""

    model_tag: str
    bento_tag: str
    version: str | None
    run_id: str
    created: bool


def bundle(
    settings: Settings, use_case: UseCase, version: ModelVersion | None = None, *, run_id: str | None = None
) -> Bundle:
    """Imports the model of the version, the run, or the version in Production, and builds its Bento; neither twice.

    The tags follow from the model and the packaged sources: same input, same tags. `NAME:latest` becomes this Bento,
    even where a newer one exists; only a run's Bento, which may have passed no gate, does not change it.
    Raises ModelError where nothing is in Production, where the run has no model of AsOf, or where the model does not
    fit the use case; UntrustedModel where its files are not those that a trusted key signed.
    """
    chosen = of_run(settings, use_case, run_id) if run_id else version or require_production(settings, use_case)
    use_case.check_model(chosen.facts)
    keys = trusted_keys(settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # BentoML's use of pathspec, importlib and pydantic
        _import_model(settings, chosen, keys)
        tag, trusted = bento_tag(chosen.tag, keys), public_text(keys)
        created = build(tag, keep_latest=bool(run_id), use_case=use_case.name, model=chosen.tag, trusted_keys=trusted)
    return Bundle(chosen.tag, tag, chosen.version, chosen.run_id, created=created)


def _import_model(settings: Settings, model: LoggedModel, keys: TrustedKeys) -> None:
    import bentoml
    from bentoml._internal.configuration.containers import BentoMLContainer

    if find(bentoml.models, model.tag) is None:
        open_tracking(settings)
        labels = _labels(model)
        with whole(BentoMLContainer.model_store_dir.get(), model.tag):
            bentoml.mlflow.import_model(model.tag, model.uri, labels=labels, metadata=labels)
    try:  # the files that go into the Bento, also where they were imported earlier
        verify_folder(Path(bentoml.models.get(model.tag).path_of(MLFLOW_FOLDER)), keys).of_run(model.run_id)
    except UntrustedModel:
        bentoml.models.delete(model.tag)
        raise


def _labels(model: LoggedModel) -> dict[str, str]:
    """The lineage as BentoML's labels, which are text; without what the model lacks."""
    facts = model.facts
    labels = {
        "name": model.name,
        "version": model.version,
        "run_id": model.run_id,
        "fingerprint": facts.fingerprint,
        "rows_digest": facts.rows_digest,
        "feature_service": facts.contract.feature_service,
        "as_of": facts.as_of.isoformat(),
        "git_commit": facts.code_version,
    }
    return {key: value for key, value in labels.items() if value}
