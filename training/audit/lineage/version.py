"""A logged model -> its lineage: registry, promotions, run and code, signature, training set."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg

from asof.errors import ConfigurationError, ModelError
from asof.settings import Settings
from asof.use_case import UseCase
from training.audit.lineage.training_set import SetOrigin, set_origin
from training.data.snapshots.months.dropped import dropped_of_run
from training.release.promotion.history import Entry, read_history, reading
from training.release.registry.versions import LoggedModel, verified_folder
from training.tracking.registry_tables import open_registry

if TYPE_CHECKING:
    from mlflow.entities import Run

ENVIRONMENT_TAGS = ("machine", "blas")


@dataclass(frozen=True)
class Training:
    """The run of the model; `environment` has the recorded libraries, machine and BLAS."""

    run_id: str
    started_at: datetime
    estimator: str
    random_state: int
    git_commit: str
    git_dirty: bool
    model_digest: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Signature:
    """The key that signed the model's files as they are in MLflow now, and their number."""

    signed_by: str
    files: int


@dataclass(frozen=True)
class VersionChain:
    """`version` is None if the model is not registered, `signature` if its files are not to be trusted.

    `promotions` are the entries of the history that name the version, oldest first. `broken` has one sentence for each
    broken link.
    """

    name: str
    version: str | None
    promotions: tuple[Entry, ...]
    training: Training
    signature: Signature | None
    training_set: SetOrigin
    broken: tuple[str, ...]


def version_chain(settings: Settings, use_case: UseCase, model: LoggedModel) -> VersionChain:
    """The lineage of a model down to the files of its training set."""
    promotions = _promotions(settings, model)
    signature, untrusted = _signature(settings, model)
    training_set = set_origin(settings, use_case, model.facts)
    return VersionChain(
        model.name,
        model.version,
        promotions=promotions,
        training=_training(open_registry(settings).get_run(model.run_id), model),
        signature=signature,
        training_set=training_set,
        broken=(*untrusted, *_contradictions(promotions, model), *training_set.broken, *_dropped(settings, model)),
    )


def _training(run: "Run", model: LoggedModel) -> Training:
    facts, tags = model.facts, run.data.tags
    return Training(
        run_id=model.run_id,
        started_at=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        estimator=facts.estimator,
        random_state=facts.random_state,
        git_commit=facts.code_version,
        git_dirty=facts.git_dirty,
        model_digest=facts.model_digest,
        environment={
            name.removeprefix("version."): value
            for name, value in sorted(tags.items())
            if name.startswith("version.") or name in ENVIRONMENT_TAGS
        },
    )


def _signature(settings: Settings, model: LoggedModel) -> tuple[Signature | None, tuple[str, ...]]:
    try:
        with verified_folder(settings, model.uri) as verified:
            signed = verified.of_run(model.run_id)
            return Signature(signed.signed_by, len(signed.manifest.files)), ()
    except (ModelError, ConfigurationError) as error:
        return None, (str(error),)


def _promotions(settings: Settings, model: LoggedModel) -> tuple[Entry, ...]:
    """The history's entries that put the version into Production or replaced it, oldest first."""
    with reading(settings) as connection:
        entries = read_history(connection, model.name) if model.version else []
    return tuple(entry for entry in entries if model.version in (entry.version, entry.previous))


def _dropped(settings: Settings, model: LoggedModel) -> Iterator[str]:
    with psycopg.connect(settings.conninfo()) as connection:
        if sentence := dropped_of_run(connection, model.run_id):
            yield sentence


def _contradictions(promotions: tuple[Entry, ...], model: LoggedModel) -> Iterator[str]:
    """Entries that name another training set for the version."""
    for entry in promotions:
        if entry.version == model.version and entry.fingerprint not in ("", model.facts.fingerprint):
            yield (
                f"Entry {entry.seq} of the history has fingerprint {entry.fingerprint} for version {entry.version}: "
                f"this is not the version that was {entry.event}."
            )
