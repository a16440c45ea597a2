"""A model's history -> what MLflow shows: stages, tags and the alias `production`.

`synchronize` updates MLflow wherever it differs from the history. Readers follow the alias, so it moves when all else
of a version is in place; the stage is for people, and for `models:/NAME/Production`. The registered model's tag is set
last: it marks the entry as done.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING

from training.release.promotion.hash_chain import EntryReference, effective, was_in_production
from training.release.promotion.history import Entry, Event
from training.release.registry.versions import ALIAS, alias_of
from training.tracking.client import stages_allowed

if TYPE_CHECKING:
    from mlflow import MlflowClient

STAGE, ARCHIVED, NO_STAGE = "Production", "Archived", "None"
PROMOTED_AT, PROMOTED_FROM = "promoted_at", "promoted_from"
ROLLED_BACK_AT, ROLLED_BACK_BECAUSE = "rolled_back_at", "rolled_back_because"
HISTORY_ENTRY = "history_entry"
"""Seq and hash of an entry, in one tag: a kill cannot separate them."""

EVENT_TAGS = (PROMOTED_AT, PROMOTED_FROM, ROLLED_BACK_AT, ROLLED_BACK_BECAUSE)
VERSION_TAGS = (*EVENT_TAGS, HISTORY_ENTRY)

Step = Callable[[], object]


@dataclass(frozen=True)
class RegistryState:
    """A registered model in MLflow: the version with the alias, each version's stage and tags, the model's own tags."""

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
    def references(self) -> list[EntryReference]:
        """The entries that the tags of the model and of the version with the alias name."""
        return [each for tags in (self.model_tags, self.tags.get(self.alias or "", {})) if (each := _reference(tags))]


def read_registry_state(client: "MlflowClient", name: str) -> RegistryState:
    """MLflow's state now; empty where the model is not registered."""
    models = client.search_registered_models(f"name='{name}'")
    versions = {str(each.version): each for each in client.search_model_versions(f"name='{name}'")}
    return RegistryState(
        name,
        alias_of(models),
        stages={number: each.current_stage for number, each in versions.items()},
        tags={number: dict(each.tags) for number, each in versions.items()},
        model_tags=dict(models[0].tags) if models else {},
    )


def synchronize(client: "MlflowClient", state: RegistryState, entries: Sequence[Entry]) -> None:
    """Updates MLflow to the history. Where a step fails or the process is killed, the next call does the rest."""
    with stages_allowed():
        for step in pending_steps(client, state, entries):
            step()


def describe_difference(state: RegistryState, head: Entry) -> str:
    """Why MLflow differs from the newest entry: an unfinished update, or a change by hand."""
    entry = f"entry {head.seq} ({head.event}, version {head.version or 'none'} in Production)"
    done = _reference(state.model_tags)
    if done is None or done.seq < head.seq:
        return f"the work of {entry} is half done"
    alias, stages = state.alias or "nothing", ", ".join(sorted(state.in_production)) or "nothing"
    return f"MLflow was changed by hand after {entry}: alias `production` on {alias}, stage Production on {stages}"


def pending_steps(client: "MlflowClient", state: RegistryState, entries: Sequence[Entry]) -> list[Step]:
    """The updates that MLflow needs to agree with the history; none for an empty history."""
    return list(_steps(client, state, entries)) if entries else []


def _steps(client: "MlflowClient", state: RegistryState, entries: Sequence[Entry]) -> Iterator[Step]:
    name, head = state.name, entries[-1]
    yield from _stages(client, state, entries)
    for version in sorted(state.tags.keys() & {each.version for each in entries}):
        yield from _tags(client, state, version, wanted=expected_tags(entries, version))
    if head.version != state.alias:
        if head.version:
            yield partial(client.set_registered_model_alias, name, ALIAS, head.version)
        else:
            yield partial(client.delete_registered_model_alias, name, ALIAS)
    if state.model_tags.get(HISTORY_ENTRY) != _entry_tag(head):
        yield partial(client.set_registered_model_tag, name, HISTORY_ENTRY, _entry_tag(head))


def _stages(client: "MlflowClient", state: RegistryState, entries: Sequence[Entry]) -> Iterator[Step]:
    """One version in stage Production. Others are archived, or lose the stage if their only promotion was undone."""
    name, version = state.name, entries[-1].version
    for other in sorted(state.in_production - {version}):
        stage = ARCHIVED if was_in_production(entries, other) else NO_STAGE
        if stage == NO_STAGE or version is None:
            yield partial(client.transition_model_version_stage, name, other, stage)
    if version and state.in_production != {version}:
        yield partial(client.transition_model_version_stage, name, version, STAGE, archive_existing_versions=True)


def _tags(client: "MlflowClient", state: RegistryState, version: str, *, wanted: Mapping[str, str]) -> Iterator[Step]:
    for key in VERSION_TAGS:
        if key in wanted and state.tags[version].get(key) != wanted[key]:
            yield partial(client.set_model_version_tag, state.name, version, key, wanted[key])
        elif key not in wanted and key in state.tags[version]:
            yield partial(client.delete_model_version_tag, state.name, version, key)


def expected_tags(entries: Sequence[Entry], version: str) -> dict[str, str]:
    """The tags of a version that follow from the effective entries."""
    tags: dict[str, str] = {}
    for entry in effective(entries):
        at = entry.at.astimezone(UTC).isoformat(timespec="seconds")
        if entry.version == version:
            tags[HISTORY_ENTRY] = _entry_tag(entry)
            if entry.event == Event.ADOPTED:
                tags |= entry.evidence.get("tags", {})
            elif entry.event == Event.PROMOTED:
                tags |= {PROMOTED_AT: at, PROMOTED_FROM: entry.previous or ""}
        elif entry.event == Event.ROLLED_BACK and entry.previous == version:
            tags |= {ROLLED_BACK_AT: at, ROLLED_BACK_BECAUSE: entry.reason}
    return tags


def _entry_tag(entry: Entry) -> str:
    return f"{entry.seq} {entry.hash}"


def _reference(tags: Mapping[str, str]) -> EntryReference | None:
    seq, _, digest = tags.get(HISTORY_ENTRY, "").partition(" ")
    return EntryReference(int(seq), digest) if seq.isdecimal() else None
