"""A model's history -> what MLflow shows: stage, tags and alias `production`; and which version holds the alias.

The history is the truth and MLflow its picture: `align` draws it again wherever they differ, as often as one likes.
The alias is moved when all else of a version is in place, for it is what is read; the stage is for people, and for
`models:/NAME/Production`. The tags of the registered model come last: they say that the entry's work is done.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING

from training.release.promotion.hash_chain import Witness, effective, was_in_production
from training.release.promotion.history import Entry, Event
from training.release.registry.versions import ALIAS, alias_of
from training.tracking.client import stages_allowed

if TYPE_CHECKING:
    from mlflow import MlflowClient

STAGE, ARCHIVED, NO_STAGE = "Production", "Archived", "None"
PROMOTED_AT, PROMOTED_FROM = "promoted_at", "promoted_from"
ROLLED_BACK_AT, ROLLED_BACK_BECAUSE = "rolled_back_at", "rolled_back_because"
HISTORY_ENTRY = "history_entry"
"""Seq and hash of an entry in one tag, so that a process cannot be killed between the two."""

TOLD = (PROMOTED_AT, PROMOTED_FROM, ROLLED_BACK_AT, ROLLED_BACK_BECAUSE)
KEYS = (*TOLD, HISTORY_ENTRY)

Step = Callable[[], object]


@dataclass(frozen=True)
class Shown:
    """What MLflow shows of a registered model: who holds the alias, stage and tags of each version, its own tags."""

    name: str
    alias: str | None
    stages: Mapping[str, str]
    tags: Mapping[str, Mapping[str, str]]
    model_tags: Mapping[str, str]

    @property
    def in_production(self) -> set[str]:
        """The versions in stage Production."""
        return {version for version, stage in self.stages.items() if stage == STAGE}

    @property
    def done(self) -> Witness | None:
        """The last entry whose work was done to its end."""
        return _witness(self.model_tags)

    @property
    def witnesses(self) -> list[Witness]:
        """The entries that are named by the tags of the model and of the version that holds the alias."""
        return [each for tags in (self.model_tags, self.tags.get(self.alias or "", {})) if (each := _witness(tags))]


def read_shown(client: "MlflowClient", name: str) -> Shown:
    """What MLflow shows now; nothing where the model is not registered."""
    models = client.search_registered_models(f"name='{name}'")
    versions = {str(each.version): each for each in client.search_model_versions(f"name='{name}'")}
    return Shown(
        name,
        alias_of(models),
        stages={number: each.current_stage for number, each in versions.items()},
        tags={number: dict(each.tags) for number, each in versions.items()},
        model_tags=dict(models[0].tags) if models else {},
    )


def align(client: "MlflowClient", shown: Shown, entries: Sequence[Entry]) -> None:
    """Makes MLflow show what the history says.

    Each step may fail or be the last of a killed process: the next call does what is left.
    """
    with stages_allowed():
        for step in steps_left(client, shown, entries):
            step()


def difference(shown: Shown, head: Entry) -> str:
    """In words, why MLflow does not show what the newest entry says, where it does not."""
    place = f"entry {head.seq} ({head.event}, version {head.version or 'none'} in Production)"
    if shown.done is None or shown.done.seq < head.seq:
        return f"the work of {place} is half done"
    alias, stages = shown.alias or "nothing", ", ".join(sorted(shown.in_production)) or "nothing"
    return f"MLflow was changed by hand after {place}: alias `production` on {alias}, stage Production on {stages}"


def steps_left(client: "MlflowClient", shown: Shown, entries: Sequence[Entry]) -> list[Step]:
    """What is still to be done until MLflow shows what the history says: nothing where there is none."""
    return list(_steps(client, shown, entries)) if entries else []


def _steps(client: "MlflowClient", shown: Shown, entries: Sequence[Entry]) -> Iterator[Step]:
    name, head = shown.name, entries[-1]
    yield from _stages(client, shown, entries)
    for version in sorted(shown.tags.keys() & {each.version for each in entries}):
        yield from _tags(client, shown, version, wanted=tags_of(entries, version))
    if head.version != shown.alias:
        if head.version:
            yield partial(client.set_registered_model_alias, name, ALIAS, head.version)
        else:
            yield partial(client.delete_registered_model_alias, name, ALIAS)
    if shown.model_tags.get(HISTORY_ENTRY) != _named(head):
        yield partial(client.set_registered_model_tag, name, HISTORY_ENTRY, _named(head))


def _stages(client: "MlflowClient", shown: Shown, entries: Sequence[Entry]) -> Iterator[Step]:
    """The version in Production, and no other; a version whose only promotion was undone has no stage, as before."""
    name, version = shown.name, entries[-1].version
    for other in sorted(shown.in_production - {version}):
        stage = ARCHIVED if was_in_production(entries, other) else NO_STAGE
        if stage == NO_STAGE or version is None:
            yield partial(client.transition_model_version_stage, name, other, stage)
    if version and shown.in_production != {version}:
        yield partial(client.transition_model_version_stage, name, version, STAGE, archive_existing_versions=True)


def _tags(client: "MlflowClient", shown: Shown, version: str, *, wanted: Mapping[str, str]) -> Iterator[Step]:
    for key in KEYS:
        if key in wanted and shown.tags[version].get(key) != wanted[key]:
            yield partial(client.set_model_version_tag, shown.name, version, key, wanted[key])
        elif key not in wanted and key in shown.tags[version]:
            yield partial(client.delete_model_version_tag, shown.name, version, key)


def tags_of(entries: Sequence[Entry], version: str) -> dict[str, str]:
    """The tags of a version that follow from the entries that stand."""
    tags: dict[str, str] = {}
    for entry in effective(entries):
        at = entry.at.astimezone(UTC).isoformat(timespec="seconds")
        if entry.version == version:
            tags[HISTORY_ENTRY] = _named(entry)
            if entry.event == Event.ADOPTED:
                tags |= entry.evidence.get("tags", {})
            elif entry.event == Event.PROMOTED:
                tags |= {PROMOTED_AT: at, PROMOTED_FROM: entry.previous or ""}
        elif entry.event == Event.ROLLED_BACK and entry.previous == version:
            tags |= {ROLLED_BACK_AT: at, ROLLED_BACK_BECAUSE: entry.reason}
    return tags


def _named(entry: Entry) -> str:
    return f"{entry.seq} {entry.hash}"


def _witness(tags: Mapping[str, str]) -> Witness | None:
    seq, _, digest = tags.get(HISTORY_ENTRY, "").partition(" ")
    return Witness(int(seq), digest) if seq.isdecimal() else None
