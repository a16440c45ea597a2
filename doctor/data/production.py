"""What is in Production of each use case -> history and MLflow in step, a trusted signature, features that exist."""

import asyncio
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import psycopg

from asof.errors import AsOfError, ConfigurationError, FeatureStoreUnavailable, ModelError, UntrustedModel
from asof.features.definition_records import FILL, RETRAIN
from asof.settings import Settings
from asof.trust.signing_keys import TrustedKeys, trusted_keys
from asof.use_case import UseCase
from doctor.finding import Finding, error, note
from doctor.given import Given
from training.release.promotion.history import Entry
from training.release.promotion.history_report import HistoryReport
from training.release.promotion.registry_state import RegistryState
from training.release.registry.tags import bento_tag, model_tag
from training.release.registry.versions import ModelVersion
from training.tracking.client import has_registry

NO_USER = "asof-doctor-asks-for-nobody"
PATIENCE = 5.0


def look_at_production(given: Given) -> Iterator[Finding]:
    """Every check on what the registry says of each use case; none where it is away, or has nothing in it yet."""
    if not has_registry(given.settings):
        return
    for use_case in given.use_cases:
        version = yield from _look_at(given.settings, use_case)
        if version is None:
            continue
        yield from trusted(given.settings, version)
        yield from features_there(given.settings, use_case, version)
        yield from bento_in_step(given, use_case, version)


def _look_at(settings: Settings, use_case: UseCase) -> Generator[Finding, None, ModelVersion | None]:
    """Gives the version in Production; None, too, where it is not the one of the history: it must not be served."""
    from training.release.promotion.history_report import report_history
    from training.release.promotion.registry_state import read_registry_state
    from training.release.registry.versions import production
    from training.tracking.client import open_tracking

    shown = read_registry_state(open_tracking(settings), use_case.model_name)
    report = report_history(settings, use_case)
    mend = way_back(settings, use_case, report.entries) if report.mlflow or out_of_step(shown) else ""
    yield from in_step(use_case, shown, mend)
    yield from told_by_history(use_case, report, mend)
    try:
        version = production(settings, use_case)
    except ModelError as wrong:
        mend = way_back(settings, use_case, report.entries)
        yield error(f"production:{use_case.name}", str(wrong), mend)
        return None
    return None if report.entries and report.mlflow else version


def way_back(settings: Settings, use_case: UseCase, entries: Sequence[Entry]) -> str:
    """What brings MLflow back to a version that passed the gate. The alias may have been put on anything, and a
    rollback to what it names, or without a history, would make that count.
    """
    retrain = f"python -m flows retrain {use_case.name}"
    if not entries:
        return f"In MLflow, take the alias `production` off what you did not promote; then {retrain}"
    head = entries[-1]
    if head.version is None:
        return f"{retrain}: its promotion brings MLflow to the history, by which nothing is in Production."
    if why := _stranger(settings, use_case, head):
        found = f"Version {head.version}, which the history has in Production, is not in MLflow as it was ({why})"
        return f"{found}: restore MLflow's database and artefacts from a backup."
    reason = "--reason 'MLflow was changed by hand'"
    return f"python -m flows rollback {use_case.name} --to {head.version} {reason}"


def _stranger(settings: Settings, use_case: UseCase, entry: Entry) -> str:
    """Why MLflow's version of that number is not the one that the entry brought into Production; empty: it is."""
    from training.release.registry.versions import read_version, signer_of
    from training.tracking.client import open_tracking

    try:
        version = read_version(open_tracking(settings), use_case.model_name, entry.version or "")
        signer_of(settings, version)
    except (ModelError, ConfigurationError) as wrong:
        return str(wrong)
    tag = model_tag(version.name, version.version, version.run_id)
    if entry.bento and not entry.bento.startswith(f"{tag}-"):
        return f"it is of run {version.run_id}, and the history names {entry.bento}"
    return ""


def out_of_step(shown: RegistryState) -> bool:
    """Whether alias and stage name different versions."""
    return bool(shown.stages) and shown.in_production != ({shown.alias} if shown.alias else set())


def in_step(use_case: UseCase, shown: RegistryState, mend: str) -> Iterator[Finding]:
    """The alias and the stage name the same version."""
    if not shown.stages:
        return
    if shown.alias is None:
        yield note(f"nothing-in-production:{use_case.name}", f"No version of {use_case.model_name} is in Production.")
    if out_of_step(shown):
        stages = ", ".join(sorted(shown.in_production)) or "none"
        found = (
            f"{use_case.model_name}: alias `production` is on {shown.alias or 'none'}, stage Production on {stages}. "
            "The alias is what is served."
        )
        yield error(f"alias-and-stage:{use_case.name}", found, mend)


def told_by_history(use_case: UseCase, report: HistoryReport, mend: str) -> Iterator[Finding]:
    """Whether the history was rewritten, and whether MLflow shows what it says."""
    for sentence in report.findings:
        backup = "Find out who changed it; a backup of the database has the original."
        yield error(f"history:{use_case.name}", f"The history of {report.model} was rewritten: {sentence}.", backup)
    if report.mlflow and report.entries:
        yield error(f"history-and-mlflow:{use_case.name}", f"{report.model}: {report.mlflow}.", mend)
    elif report.mlflow:
        yield note(f"history-and-mlflow:{use_case.name}", f"{report.model}: {report.mlflow}.")


def trusted(settings: Settings, version: ModelVersion) -> Iterator[Finding]:
    """Whether a service with our trusted keys would load it."""
    from training.release.registry.versions import signer_of

    name = f"signature:{version.name}"
    try:
        signer_of(settings, version)
    except UntrustedModel as wrong:
        yield error(name, f"{version.name} version {version.version} would not be loaded: {wrong}", _trust(wrong))
    except ConfigurationError as wrong:
        yield error(name, str(wrong), 'ASOF_TRUSTED_KEYS="$(python -m flows keys)" of where models are trained.')


def features_there(settings: Settings, use_case: UseCase, version: ModelVersion) -> Iterator[Finding]:
    """Whether the registry, or the request, still gives what the model takes, and whether the online store answers."""
    name, contract = f"contract:{use_case.name}", version.facts.contract
    try:
        use_case.check_model(version.facts)
        if contract.feature_service:
            asyncio.run(_ask_store(settings, version))
    except TimeoutError:
        found = f"The online store did not answer one lookup within {PATIENCE:g} s."
        yield error(name, found, "Look for locks and load in PostgreSQL (pg_stat_activity).")
    except psycopg.Error as wrong:
        said = str(wrong).splitlines()[0]
        yield error(name, f"The online store failed ({type(wrong).__name__}): {said}", "python -m flows ingest --whole")
    except (FeatureStoreUnavailable, ModelError) as wrong:
        found = f"{version.name} version {version.version} could not answer: {wrong}"
        yield error(name, found, _one_of_these(use_case, wrong))


def bento_in_step(given: Given, use_case: UseCase, version: ModelVersion) -> Iterator[Finding]:
    """The newest Bento of the store holds the version in Production, and the sources as they are now.

    `make up` serves none of them: it follows the registry.
    """
    try:
        keys = trusted_keys(given.settings)
    except AsOfError:  # `trusted` reports it
        return
    yield from newest_bento(use_case, version, (_latest(given.bentos, use_case), keys))


def newest_bento(use_case: UseCase, version: ModelVersion, there: tuple[str | None, TrustedKeys]) -> Iterator[Finding]:
    """`there` is the newest Bento's version, if there is one, and the keys that a new one would trust."""
    newest, keys = there
    name, mend = f"bento:{use_case.name}", f"python -m flows bundle {use_case.name}, for an image or `make serve`"
    model = model_tag(version.name, version.version, version.run_id)
    if newest is None:
        yield note(name, f"No Bento of {version.name} is built yet.", mend)
    elif newest.startswith("code-"):  # it holds no model, and serves what is in Production
        return
    elif not f"{version.name}:{newest}".startswith(f"{model}-"):
        found = f"The newest Bento is {version.name}:{newest}; in Production is version {version.version}."
        yield note(name, found, mend)
    elif f"{version.name}:{newest}" != bento_tag(model, keys):
        yield note(
            name, f"The newest Bento, {version.name}:{newest}, is of other sources or keys than are here now.", mend
        )


def _latest(home: Path, use_case: UseCase) -> str | None:
    file = home / "bentos" / use_case.model_name / "latest"
    return file.read_text().strip() if file.is_file() else None


async def _ask_store(settings: Settings, version: ModelVersion) -> None:
    """As the service does: the registry is compared, and one user is looked up."""
    from asof.serving.features.store.opening import open_reader

    reader = open_reader(settings, version.facts.contract)
    try:
        await asyncio.wait_for(reader.read([NO_USER]), PATIENCE)
    except OSError as wrong:
        raise FeatureStoreUnavailable(f"The online store does not answer ({type(wrong).__name__}).") from wrong
    finally:
        await reader.close()


def _one_of_these(use_case: UseCase, wrong: Exception) -> str:
    if FILL in str(wrong):
        return f"python -m flows ingest --use-case {use_case.name}"
    retrain = f"python -m flows retrain {use_case.name}"
    return retrain if RETRAIN in str(wrong) else f"Restore feature_repo/ and run python -m flows ingest, or {retrain}"


def _trust(wrong: UntrustedModel) -> str:
    if "trusted are" in str(wrong):
        known = "add its public key to ASOF_TRUSTED_KEYS (`python -m flows keys` where it was trained)"
        return f"Only if you know whose key that is: {known}. Otherwise train again."
    return "Train and register again."
