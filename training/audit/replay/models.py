"""The model of a kept answer, loaded as the service loads it: by its run, with its signature verified."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from asof.errors import ModelError
from asof.inference.served_model import ServedModel, load_verified
from asof.ledger.reading.kept_answer import KeptModel
from asof.settings import Settings
from asof.use_case import UseCase
from training.release.registry.logged_model import of_run
from training.release.registry.versions import LoggedModel, model_version, verified_folder
from training.tracking.client import error_code


@dataclass(frozen=True)
class ReplayModel:
    """A model in MLflow, loaded. `notes` are sentences on what is no longer as it was when it answered."""

    logged: LoggedModel
    served: ServedModel
    notes: tuple[str, ...] = field(default=())

    def lacking(self, kept: KeptModel) -> list[str]:
        """The features of the model that are not among those of the answers of `kept`."""
        own = {(each["name"], each["view"] or "", each["type"]) for each in kept.features}
        features = self.served.facts.contract.features
        return [each.name for each in features if (each.name, each.view, each.dtype) not in own]


def model_that_answered(settings: Settings, use_case: UseCase, kept: KeptModel) -> ReplayModel:
    """The model by its run. Raises ModelError, UntrustedModel included, with what is gone or differs."""
    with _explained(f"version {kept.version}" if kept.version else f"run {kept.run_id}"):
        logged = of_run(settings, use_case, kept.run_id)
        return ReplayModel(logged, _loaded(settings, use_case, logged), tuple(_notes(kept, logged)))


def other_version(settings: Settings, use_case: UseCase, version: str) -> ReplayModel:
    """A registered version. Raises ModelError as `model_that_answered`."""
    with _explained(f"version {version}"):
        logged = model_version(settings, use_case, version)
        return ReplayModel(logged, _loaded(settings, use_case, logged))


def _loaded(settings: Settings, use_case: UseCase, logged: LoggedModel) -> ServedModel:
    with verified_folder(settings, logged.uri) as verified:
        return load_verified(verified.of_run(logged.run_id), use_case)


def _notes(kept: KeptModel, logged: LoggedModel) -> Iterator[str]:
    facts = logged.facts
    if kept.version != logged.version:
        now = f"is version {logged.version}" if logged.version else "is no longer registered"
        yield f"The model that answered as version {kept.version} {now}: its run {kept.run_id} is the same."
    if kept.fingerprint != facts.fingerprint:
        yield f"The answers name the training set {kept.fingerprint}, and the model's is {facts.fingerprint}."
    if kept.threshold != facts.threshold:
        yield f"The threshold was {kept.threshold}, and the model's is {facts.threshold}."


@contextmanager
def _explained(model: str) -> Iterator[None]:
    """What MLflow raises where files are gone becomes a ModelError; every message names the model."""
    try:
        yield
    except ModelError as error:
        raise type(error)(f"The model of {model} cannot be replayed: {error}") from error
    except Exception as error:
        if not isinstance(error, OSError) and error_code(error) is None:
            raise
        raise ModelError(
            f"The files of {model} are gone from MLflow ({type(error).__name__}): restore its artifacts."
        ) from error
