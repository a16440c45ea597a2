"""Which version is in Production after which: history and registry of one model, changed under a lock.

Every change: acquire the lock; update MLflow to the newest entry, which finishes what a killed process left; append an
entry, which is the decision; update MLflow to it. Where MLflow fails, a further entry undoes the change. A rollback
may run while a gate judges, so the version in Production is checked again when the entry is appended.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asof.errors import ModelError
from asof.settings import Settings
from training.data.snapshots.provenance import actor
from training.release.promotion.hash_chain import chain_errors, missing_entries
from training.release.promotion.history import Change, Connection, Entry, Event, append, read_history, reading, writing
from training.release.promotion.locks import Lock, acquire, release
from training.release.promotion.registry_state import (
    EVENT_TAGS,
    PROMOTED_AT,
    PROMOTED_FROM,
    RegistryState,
    describe_difference,
    pending_steps,
    read_registry_state,
    synchronize,
)
from training.release.registry.versions import production_number
from training.tracking.registry_tables import open_registry

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)


class Succession:
    """One model's history and registry; each property reads again."""

    def __init__(self, settings: Settings, name: str, connection: Connection) -> None:
        self.name = name
        self.client: MlflowClient = open_registry(settings)
        self._connection = connection
        self._who = actor(settings)

    @property
    def entries(self) -> list[Entry]:
        """The model's history, oldest first."""
        return read_history(self._connection, self.name)

    @property
    def current(self) -> str | None:
        """The version in Production by the history, or by the alias where there is no history yet."""
        entries = self.entries
        return entries[-1].version if entries else production_number(self.client, self.name)

    def add(self, change: Change) -> None:
        """Appends the entry and updates MLflow; where that fails, undoes both and raises the error.

        Raises ModelError where the version in Production is no longer `change.previous`, or where undoing fails.
        """
        now = {self.current, production_number(self.client, self.name)}
        if now != {change.previous}:
            raise ModelError(
                f"The production version of {self.name} has changed meanwhile (it was {change.previous or 'none'}, "
                f"now it is {' or '.join(str(each or 'none') for each in now - {change.previous})}): try again."
            )
        self._append(change)
        try:
            self._synchronize()
        except BaseException as error:
            self._undo(change, error)
            raise

    def reconcile(self) -> None:
        """Updates MLflow to the newest entry; or adopts MLflow's state where the history lacks it."""
        state, entries = read_registry_state(self.client, self.name), self.entries
        for error in chain_errors(entries):
            log.warning("The history of %s is broken: %s. See `python -m flows history USE_CASE`.", self.name, error)
        if reason := _reason_to_adopt(state, entries):
            self._append(*_adoptions(state, entries, reason))
            log.warning("Version %s of %s, as MLflow shows it, was adopted: %s.", state.alias, self.name, reason)
            self._synchronize()
        elif pending_steps(self.client, state, entries):
            log.warning("%s: %s. Updating MLflow.", self.name, describe_difference(state, entries[-1]))
            self._synchronize()

    @contextmanager
    def unlocked(self) -> Iterator[None]:
        """Releases the lock on changes for a block."""
        release(self._connection, Lock.CHANGE, self.name)
        yield
        acquire(self._connection, Lock.CHANGE, self.name)

    def _append(self, *changes: Change) -> None:
        append(self._connection, self.name, changes, who=self._who)

    def _synchronize(self) -> None:
        synchronize(self.client, read_registry_state(self.client, self.name), self.entries)

    def _undo(self, change: Change, error: BaseException) -> None:
        try:
            self._append(_reverted(self.entries, f"{type(error).__name__}: {error}"))
            self._synchronize()
        except Exception as second:
            raise ModelError(
                f"{self.name} version {change.version} could not be {change.event} ({error}), and undoing it failed "
                f"({second}): alias and stage may disagree. See `python -m flows history USE_CASE`; the next promotion "
                "or rollback updates MLflow."
            ) from error


@contextmanager
def succession(settings: Settings, name: str, *, locks: Sequence[Lock]) -> Iterator[Succession]:
    """The model's succession while this process holds the locks, with MLflow up to date; read-only without a lock.

    Raises ModelError where another promotion or rollback of the model is going on.
    """
    with writing(settings) if locks else reading(settings) as connection:
        for lock in locks:
            acquire(connection, lock, name)
        model = Succession(settings, name, connection)
        if locks:
            model.reconcile()
        yield model


def _reason_to_adopt(state: RegistryState, entries: list[Entry]) -> str:
    """Why the history does not know what is in Production; empty where it does."""
    if missing := missing_entries(entries, state.references):
        return "; ".join(missing)
    if not entries:
        return "there was no history yet" if state.alias else ""
    version = entries[-1].version
    return f"version {version} is gone from MLflow" if version and version not in state.stages else ""


def _adoptions(state: RegistryState, entries: list[Entry], reason: str) -> list[Change]:
    """The version in Production, after those that by their tags were there before and that the history lacks.

    Their tags are kept as evidence, so that `expected_tags` gives them again.
    """
    known = {state.alias, *(entry.version for entry in entries)}
    earlier = [number for number, tags in state.tags.items() if PROMOTED_AT in tags and number not in known]
    versions = [*sorted(earlier, key=lambda number: state.tags[number][PROMOTED_AT]), state.alias]
    return [_adoption(state, version, reason) for version in versions]


def _adoption(state: RegistryState, version: str | None, reason: str) -> Change:
    tags = state.tags.get(version or "", {})
    evidence = {"tags": {key: tags[key] for key in EVENT_TAGS if key in tags}}
    previous, fingerprint = tags.get(PROMOTED_FROM) or None, tags.get("fingerprint", "")
    return Change(Event.ADOPTED, version, previous, reason=reason, evidence=evidence, fingerprint=fingerprint)


def _reverted(entries: list[Entry], reason: str) -> Change:
    """The change that undoes the newest entry."""
    head = entries[-1]
    before = next((each for each in reversed(entries[:-1]) if each.version == head.previous), None)
    return Change(
        Event.UNDONE,
        head.previous,
        head.version,
        reason=reason,
        evidence={"undone": head.seq},
        fingerprint=before.fingerprint if before else "",
        bento=before.bento if before else "",
    )
