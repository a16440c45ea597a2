"""Checks of the version in Production: history and MLflow agree, signature, features and Bento."""

import asyncio
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from asof.errors import (
    AsOfError,
    ConfigurationError,
    FeatureStoreUnavailable,
    ModelError,
    UnknownSigner,
    UntrustedModel,
)
from asof.features.definition_records import FILL, RETRAIN
from asof.settings import Settings
from asof.trust.signing_keys import TrustedKeys, trusted_keys
from asof.use_case import UseCase
from doctor.context import Context
from doctor.finding import Finding, error, note
from training.release.promotion.history import Entry
from training.release.promotion.history_report import HistoryReport, report_history
from training.release.promotion.registry_state import RegistryState, read_registry_state
from training.release.registry.tags import bento_tag
from training.release.registry.versions import ModelVersion, read_version, signer_of
from training.tracking.client import has_registry
from training.tracking.registry_tables import open_registry

if TYPE_CHECKING:
    from mlflow import MlflowClient

UNKNOWN_USER = "asof-doctor-asks-for-nobody"
LOOKUP_TIMEOUT = 5.0


def check_production(context: Context) -> Iterator[Finding]:
    """The version in Production of each use case; no findings without a registry."""
    if not has_registry(context.settings):
        return
    client = open_registry(context.settings)
    for use_case in context.use_cases:
        version = yield from _check_registry(context.settings, client, use_case)
        if version is None:
            continue
        yield from check_signature(context.settings, version)
        yield from check_features(context.settings, use_case, version)
        yield from check_bento(context, use_case, version)


def _check_registry(
    settings: Settings, client: "MlflowClient", use_case: UseCase
) -> Generator[Finding, None, ModelVersion | None]:
    """Returns the version in Production; None if there is none or the history names another."""
    state = read_registry_state(client, use_case.model_name)
    report = report_history(settings, use_case, client)
    fix = restore_command(settings, use_case, report.entries) if report.mlflow or alias_differs(state) else ""
    yield from check_alias(use_case, state, fix)
    yield from check_history(use_case, report, fix)
    try:
        version = read_version(client, use_case.model_name, state.alias) if state.alias else None
    except ModelError as wrong:
        fix = restore_command(settings, use_case, report.entries)
        yield error(f"production:{use_case.name}", str(wrong), fix)
        return None
    return None if report.entries and report.mlflow else version


def restore_command(settings: Settings, use_case: UseCase, entries: Sequence[Entry]) -> str:
    """How to bring MLflow back to the version that passed the gate, according to the history.

    Never a rollback to what the alias names: it may have been set to any version by hand.
    """
    retrain = f"python -m flows retrain {use_case.name}"
    if not entries:
        return f"Remove the alias `production` in MLflow, then {retrain}"
    head = entries[-1]
    if head.version is None:
        return f"{retrain}: according to the history nothing is in Production; its promotion corrects MLflow."
    if why := _why_different(settings, use_case, head):
        found = f"Version {head.version}, in Production according to the history, is not the same in MLflow ({why})"
        return f"{found}: restore MLflow's database and artefacts from a backup."
    reason = "--reason 'MLflow was changed by hand'"
    return f"python -m flows rollback {use_case.name} --to {head.version} {reason}"


def _why_different(settings: Settings, use_case: UseCase, entry: Entry) -> str:
    """Why the version in MLflow is not the one that the entry promoted; empty if it is."""
    try:
        version = read_version(open_registry(settings), use_case.model_name, entry.version or "")
        signer_of(settings, version)
    except (ModelError, ConfigurationError) as wrong:
        return str(wrong)
    if entry.bento and not entry.bento.startswith(f"{version.tag}-"):
        return f"it is of run {version.run_id}, but the history names {entry.bento}"
    return ""


def alias_differs(state: RegistryState) -> bool:
    """Whether alias and stage name different versions."""
    return bool(state.stages) and state.in_production != ({state.alias} if state.alias else set())


def check_alias(use_case: UseCase, state: RegistryState, fix: str) -> Iterator[Finding]:
    """Whether alias and stage name the same version."""
    if not state.stages:
        return
    if state.alias is None:
        yield note(f"nothing-in-production:{use_case.name}", f"No version of {use_case.model_name} is in Production.")
    if alias_differs(state):
        stages = ", ".join(sorted(state.in_production)) or "none"
        found = (
            f"{use_case.model_name}: alias `production` is on {state.alias or 'none'}, stage Production on {stages}. "
            "Services follow the alias."
        )
        yield error(f"alias-and-stage:{use_case.name}", found, fix)


def check_history(use_case: UseCase, report: HistoryReport, fix: str) -> Iterator[Finding]:
    """Whether the history is intact, and whether MLflow agrees with it."""
    for sentence in report.findings:
        backup = "Find out who changed it; restore the original from a backup of the database."
        yield error(f"history:{use_case.name}", f"The history of {report.model} was rewritten: {sentence}.", backup)
    if report.mlflow and report.entries:
        yield error(f"history-and-mlflow:{use_case.name}", f"{report.model}: {report.mlflow}.", fix)
    elif report.mlflow:
        yield note(f"history-and-mlflow:{use_case.name}", f"{report.model}: {report.mlflow}.")


def check_signature(settings: Settings, version: ModelVersion) -> Iterator[Finding]:
    """Whether a service with our trusted keys would load the version."""
    name = f"signature:{version.name}"
    try:
        signer_of(settings, version)
    except UntrustedModel as wrong:
        yield error(
            name, f"{version.name} version {version.version} would not be loaded: {wrong}", _trust_command(wrong)
        )
    except ConfigurationError as wrong:
        yield error(
            name, str(wrong), "Set ASOF_TRUSTED_KEYS to what `python -m flows keys` prints on the machine that trains."
        )


def check_features(settings: Settings, use_case: UseCase, version: ModelVersion) -> Iterator[Finding]:
    """Whether the registered features are those of the model, and the online store answers."""
    name, contract = f"contract:{use_case.name}", version.facts.contract
    try:
        use_case.check_model(version.facts)
        if contract.feature_service:
            asyncio.run(_ask_store(settings, version))
    except TimeoutError:
        found = f"The online store did not answer a lookup within {LOOKUP_TIMEOUT:g} s."
        yield error(name, found, "Look for locks and load in pg_stat_activity.")
    except psycopg.Error as wrong:
        said = str(wrong).splitlines()[0]
        yield error(name, f"The online store failed ({type(wrong).__name__}): {said}", "python -m flows ingest --whole")
    except (FeatureStoreUnavailable, ModelError) as wrong:
        found = f"{version.name} version {version.version} cannot answer: {wrong}"
        yield error(name, found, _features_command(use_case, wrong))


def check_bento(context: Context, use_case: UseCase, version: ModelVersion) -> Iterator[Finding]:
    """Whether the newest Bento holds the version in Production and the current sources (`make up` does not use it)."""
    try:
        keys = trusted_keys(context.settings)
    except AsOfError:  # `check_signature` reports it
        return
    yield from check_newest_bento(use_case, version, (_latest(context.bentos, use_case), keys))


def check_newest_bento(
    use_case: UseCase, version: ModelVersion, store: tuple[str | None, TrustedKeys]
) -> Iterator[Finding]:
    """`store`: the newest Bento's version, or None, and the keys that a new one would trust."""
    newest, keys = store
    name, fix = f"bento:{use_case.name}", f"python -m flows bundle {use_case.name}, for an image or `make serve`"
    if newest is None:
        yield note(name, f"No Bento of {version.name} is built yet.", fix)
    elif newest.startswith("code-"):  # without a model: it serves the version in Production
        return
    elif not f"{version.name}:{newest}".startswith(f"{version.tag}-"):
        found = f"The newest Bento is {version.name}:{newest}; in Production is version {version.version}."
        yield note(name, found, fix)
    elif f"{version.name}:{newest}" != bento_tag(version.tag, keys):
        found = f"The newest Bento, {version.name}:{newest}, was built from other sources or trusted keys."
        yield note(name, found, fix)


def _latest(home: Path, use_case: UseCase) -> str | None:
    file = home / "bentos" / use_case.model_name / "latest"
    return file.read_text().strip() if file.is_file() else None


async def _ask_store(settings: Settings, version: ModelVersion) -> None:
    """Compares the registry and looks up one user, as the service does."""
    from asof.serving.features.store.opening import open_reader

    reader = open_reader(settings, version.facts.contract.stored)
    try:
        await asyncio.wait_for(reader.read([UNKNOWN_USER]), LOOKUP_TIMEOUT)
    except OSError as wrong:
        raise FeatureStoreUnavailable(f"The online store does not answer ({type(wrong).__name__}).") from wrong
    finally:
        await reader.close()


def _features_command(use_case: UseCase, wrong: Exception) -> str:
    if FILL in str(wrong):
        return f"python -m flows ingest {use_case.name}"
    retrain = f"python -m flows retrain {use_case.name}"
    return retrain if RETRAIN in str(wrong) else f"Restore feature_repo/ and run python -m flows ingest, or {retrain}"


def _trust_command(wrong: UntrustedModel) -> str:
    if isinstance(wrong, UnknownSigner):
        known = "add its public key to ASOF_TRUSTED_KEYS (`python -m flows keys` where it was trained)"
        return f"If you know whose key that is, {known}. Otherwise train again."
    return "Train and register again."
