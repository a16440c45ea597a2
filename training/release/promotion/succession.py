"""Which version is in Production after which: history and registry of one model, while nobody else changes them.

The protocol of every change: take the turn; bring MLflow to the newest entry, which finishes what a killed run left;
decide; append an entry, which is the decision; bring MLflow to that one. Where MLflow fails, an entry takes it back.
While a gate judges, a rollback may have the turn: what was there before is asked once more when the entry is appended.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asof.errors import ModelError
from asof.settings import Settings
from training.data.snapshots.provenance import actor
from training.release.promotion.hash_chain import breaks, losses, predecessor, was_in_production
from training.release.promotion.history import Change, Connection, Entry, Event, append, read_history, reading, writing
from training.release.promotion.locks import Turn, give_back, take
from training.release.promotion.registry_state import (
    PROMOTED_AT,
    PROMOTED_FROM,
    TOLD,
    Shown,
    align,
    difference,
    read_shown,
    steps_left,
)
from training.release.registry.versions import production_number
from training.tracking.client import open_tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)


class Succession:
    """One model's history and registry. What it says is read anew each time."""

    def __init__(self, settings: Settings, name: str, connection: Connection) -> None:
        self.name = name
        self.client: MlflowClient = open_tracking(settings)
        self._connection = connection
        self._who = actor(settings)

    @property
    def entries(self) -> list[Entry]:
        """The model's history, oldest first."""
        return read_history(self._connection, self.name)

    @property
    def current(self) -> str | None:
        """The version in Production: what the history says, or the alias where there is none yet."""
        entries = self.entries
        return entries[-1].version if entries else production_number(self.client, self.name)

    def predecessor(self, version: str) -> str | None:
        """The version that this one replaced when it was promoted, or None where it was the first."""
        return predecessor(self.entries, version)

    def was_in_production(self, version: str) -> bool:
        """Whether the version has been in Production before."""
        return was_in_production(self.entries, version)

    def add(self, change: Change) -> None:
        """Appends the entry and brings MLflow to it; where that fails, both are put back and the error goes on.

        Raises ModelError where what is in Production is no longer what the change says was there, and where not all
        could be put back.
        """
        found = {self.current, production_number(self.client, self.name)}
        if found != {change.previous}:
            raise ModelError(
                f"What is in Production of {self.name} has changed meanwhile (it was {change.previous or 'nothing'}, "
                f"now there is {' or '.join(str(each or 'nothing') for each in found - {change.previous})}): try again."
            )
        self._append(change)
        try:
            self._align()
        except BaseException as error:
            self._undo(change, error)
            raise

    def settle(self) -> None:
        """Brings MLflow to the newest entry; or, where MLflow knows what the history does not, adopts what it shows."""
        shown, entries = read_shown(self.client, self.name), self.entries
        for finding in breaks(entries):
            log.warning("The history of %s is broken: %s. See `python -m flows history`.", self.name, finding)
        if lost := _unknown(shown, entries):
            self._append(*_adopted(shown, entries, lost))
            log.warning("Version %s of %s, as MLflow shows it, was adopted: %s.", shown.alias, self.name, lost)
            self._align()
        elif steps_left(self.client, shown, entries):
            log.warning("%s: %s. It is brought to what the history says.", self.name, difference(shown, entries[-1]))
            self._align()

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Lets others have the turn to change for a block."""
        give_back(self._connection, Turn.CHANGE, self.name)
        yield
        take(self._connection, Turn.CHANGE, self.name)

    def _append(self, *changes: Change) -> None:
        append(self._connection, self.name, changes, who=self._who)

    def _align(self) -> None:
        align(self.client, read_shown(self.client, self.name), self.entries)

    def _undo(self, change: Change, error: BaseException) -> None:
        try:
            self._append(_back(self.entries, f"{type(error).__name__}: {error}"))
            self._align()
        except Exception as another:
            raise ModelError(
                f"{self.name} version {change.version} could not be {change.event} ({error}), nor could all be put "
                f"back ({another}): alias and stage may disagree. The history counts (`python -m flows history`); the "
                "next promotion or rollback brings MLflow to it."
            ) from error


@contextmanager
def succession(settings: Settings, name: str, *, turns: Sequence[Turn]) -> Iterator[Succession]:
    """The model's succession while this process has the turns, with MLflow brought to the history; a promotion takes
    both. Without a turn nothing can be changed.

    Raises ModelError where another promotion or rollback of the model is going on.
    """
    with writing(settings) if turns else reading(settings) as connection:
        for turn in turns:
            take(connection, turn, name)
        line = Succession(settings, name, connection)
        if turns:
            line.settle()
        yield line


def _unknown(shown: Shown, entries: list[Entry]) -> str:
    """In words, why the history cannot say what is in Production; empty where it can."""
    if lost := losses(entries, shown.witnesses):
        return "; ".join(lost)
    if not entries:
        return "there was no history yet" if shown.alias else ""
    version = entries[-1].version
    return f"version {version} is gone from MLflow" if version and version not in shown.stages else ""


def _adopted(shown: Shown, entries: list[Entry], why: str) -> list[Change]:
    """What is in Production, and before it what has been there by its tags and the history does not know.

    Their tags are kept as evidence, so that they follow from the history from now on.
    """
    known = {shown.alias, *(entry.version for entry in entries)}
    further = [number for number, tags in shown.tags.items() if PROMOTED_AT in tags and number not in known]
    line = [*sorted(further, key=lambda number: shown.tags[number][PROMOTED_AT]), shown.alias]
    return [_adopt(shown, version, why) for version in line]


def _adopt(shown: Shown, version: str | None, why: str) -> Change:
    tags = shown.tags.get(version or "", {})
    evidence = {"tags": {key: tags[key] for key in TOLD if key in tags}}
    before, fingerprint = tags.get(PROMOTED_FROM) or None, tags.get("fingerprint", "")
    return Change(Event.ADOPTED, version, before, reason=why, evidence=evidence, fingerprint=fingerprint)


def _back(entries: list[Entry], why: str) -> Change:
    """What takes the newest entry back: the version before it is in Production again."""
    head = entries[-1]
    before = next((each for each in reversed(entries[:-1]) if each.version == head.previous), None)
    return Change(
        Event.UNDONE,
        head.previous,
        head.version,
        reason=why,
        evidence={"undone": head.seq},
        fingerprint=before.fingerprint if before else "",
        bento=before.bento if before else "",
    )
