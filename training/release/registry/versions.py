"""Versions of a registered model, by number or alias: metadata, verified files, and the fitted estimator."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asof.errors import ModelError, UntrustedModel
from asof.model_facts import ModelFacts
from asof.settings import Settings
from asof.trust.signed_manifest import MANIFEST, Manifest, VerifiedFolder, verify_envelope, verify_folder
from asof.trust.signing_keys import trusted_keys
from asof.trust.trusted_types import load_trusted
from asof.use_case import UseCase
from training.tracking.artifacts import MLMODEL, downloaded, parse_mlmodel, read_mlmodel
from training.tracking.client import error_code
from training.tracking.registry_tables import open_registry

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel
    from sklearn.base import BaseEstimator


ALIAS = "production"


def production_number(client: "MlflowClient", name: str) -> str | None:
    """The number of the version with the alias `production`, or None."""
    return alias_of(client.search_registered_models(f"name='{name}'"))


def alias_of(models: "Sequence[RegisteredModel]") -> str | None:
    number = models[0].aliases.get(ALIAS) if models else None
    return str(number) if number else None


@dataclass(frozen=True)
class LoggedModel:
    """A model in MLflow: its run and facts, and its number in the registry (None: not registered)."""

    name: str
    version: str | None
    run_id: str
    facts: ModelFacts
    model_id: str = field(default="", kw_only=True)

    @property
    def uri(self) -> str:
        """Its address in MLflow."""
        return f"models:/{self.model_id or f'{self.name}/{self.version}'}"

    @property
    def tag(self) -> str:
        """Its tag in BentoML's model store."""
        return f"{self.name}:{f'v{self.version}' if self.version else 'run'}-{self.run_id[:8]}"


@dataclass(frozen=True)
class ModelVersion(LoggedModel):
    """One version of a registered model. `metrics` are those of its run: of the evaluation, and of a search."""

    version: str
    metrics: Mapping[str, float]


def model_version(settings: Settings, use_case: UseCase, version: str) -> ModelVersion:
    """A registered version of the use case. Raises ModelError where there is none, or where AsOf did not train it."""
    return read_version(open_registry(settings), use_case.model_name, version)


def production(settings: Settings, use_case: UseCase) -> ModelVersion | None:
    """The version with the alias `production`, or None."""
    client = open_registry(settings)
    number = production_number(client, use_case.model_name)
    return read_version(client, use_case.model_name, number) if number else None


def require_production(settings: Settings, use_case: UseCase) -> ModelVersion:
    """The version with the alias `production`. Raises ModelError where there is none."""
    if version := production(settings, use_case):
        return version
    raise ModelError(
        f"No version of {use_case.model_name} is in Production: run `python -m flows retrain {use_case.name}` first."
    )


def load_model(settings: Settings, version: ModelVersion) -> "BaseEstimator":
    """The fitted scikit-learn estimator of a version; signature and types are checked before anything is built.

    Raises UntrustedModel where its files are not those that were signed, or where it holds a type that is not trusted;
    ModelError where it was not saved with skops.
    """
    with verified_version(settings, version) as verified:
        return estimator_in(verified)


def estimator_in(verified: VerifiedFolder) -> "BaseEstimator":
    """The fitted estimator in a verified folder. Raises as `load_model` does."""
    return load_trusted(skops_content(verified))


def skops_content(verified: VerifiedFolder) -> bytes:
    """The content of the estimator's file. Raises ModelError where it was not saved with skops."""
    return verified.read(_skops_file(f"The model of run {verified.manifest.run_id}", verified.folder))


@contextmanager
def verified_version(settings: Settings, version: ModelVersion) -> Iterator[VerifiedFolder]:
    """A verified copy of a version's files, for a block.

    Raises UntrustedModel as `verify_folder` does, and where they were signed for another run.
    """
    with verified_folder(settings, version.uri) as verified:
        yield verified.of_run(version.run_id)


@contextmanager
def verified_folder(settings: Settings, uri: str) -> Iterator[VerifiedFolder]:
    """A verified copy of a model's files, for a block. Raises UntrustedModel as `verify_folder` does."""
    with downloaded(settings, uri) as copy:
        yield verify_folder(copy, trusted_keys(settings))


def signer_of(settings: Settings, version: ModelVersion) -> str:
    """The id of the trusted key that signed the manifest. Raises as `manifest_of` does."""
    return manifest_of(settings, version)[1]


def manifest_of(settings: Settings, version: ModelVersion) -> tuple[Manifest, str]:
    """The signed manifest and the id of the trusted key. The files are not compared with it: loading the model does so.

    Raises UntrustedModel where there is no manifest, where no trusted key signed it, or where it is of another run.
    """
    try:
        with downloaded(settings, f"{version.uri}/{MANIFEST}") as path:
            content = path.read_bytes()
    except Exception as error:
        if not isinstance(error, OSError) and error_code(error) is None:
            raise
        raise UntrustedModel(
            f"MLflow gives no {MANIFEST} of {version.name} version {version.version} ({type(error).__name__}): "
            "restore its artifacts, or train and register again."
        ) from error
    manifest, signer = verify_envelope(content, trusted_keys(settings))
    if manifest.run_id != version.run_id:
        raise UntrustedModel(f"The manifest is of run {manifest.run_id}, not of {version.run_id}: register it again.")
    return manifest, signer


@contextmanager
def model_file(settings: Settings, version: ModelVersion) -> Iterator[Path]:
    """A copy of the version's skops file, for a block. Raises ModelError where it was not saved with skops."""
    with downloaded(settings, version.uri) as copy:
        yield copy / _skops_file(version.uri, copy)


def _skops_file(model: str, folder: Path) -> str:
    """The name of the estimator's file, from MLmodel. Raises ModelError where it was not saved with skops."""
    flavour: Mapping[str, Any] = parse_mlmodel(folder / MLMODEL)["flavors"].get("sklearn", {})
    if flavour.get("serialization_format") != "skops":
        raise ModelError(f"{model} was not saved with skops, so loading it could run any code: train it again.")
    return str(flavour["pickled_model"])


def read_version(client: "MlflowClient", name: str, number: str) -> ModelVersion:
    """A version by its number. Raises ModelError where there is none, or where AsOf did not train it."""
    run_id = _run_id(client, name, number)
    facts = (read_mlmodel(client, f"models:/{name}/{number}").get("metadata") or {}).get("asof")
    if facts is None or not run_id:
        raise ModelError(f"{name} version {number} was not trained by AsOf: train and register one here.")
    metrics = dict(client.get_run(run_id).data.metrics)
    return ModelVersion(name, number, run_id, facts=ModelFacts.from_dict(facts), metrics=metrics)


def _run_id(client: "MlflowClient", name: str, number: str) -> str | None:
    try:
        run_id: str | None = client.get_model_version(name, number).run_id
    except Exception as error:
        if error_code(error) not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        known = sorted(int(each.version) for each in client.search_model_versions(f"name='{name}'"))
        raise ModelError(f"{name} has no version {number!r}; it has: {known or 'none yet'}.") from error
    return run_id
