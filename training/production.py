"""A version number -> alias `production` and stage Production, both or neither; and which one holds the alias.

The alias is what counts: the stage is for people, and for `models:/NAME/Production`. The stage is set first, so that
whoever reads the alias never sees a version that the next step could take back.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from asof.errors import ModelError
from training.tracking import stages_allowed

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIAS, STAGE = "production", "Production"


def production_number(client: "MlflowClient", name: str) -> str | None:
    """The number of the version that the alias `production` names, or None."""
    models = client.search_registered_models(f"name='{name}'")
    number = models[0].aliases.get(ALIAS) if models else None
    return str(number) if number else None


def put_into_production(
    client: "MlflowClient", name: str, number: str, *, tags: Mapping[str, str] | None = None
) -> None:
    """Tags the version and gives it stage and alias; the versions in Production before are archived.

    Where a step fails, everything is put back as it was and the error goes on; a ModelError tells where that fails too.
    """
    before, new_tags = _read(client, name, number), dict(tags or {})
    try:
        for key, value in new_tags.items():
            client.set_model_version_tag(name, number, key, value)
        with stages_allowed():
            client.transition_model_version_stage(name, number, STAGE, archive_existing_versions=True)
        client.set_registered_model_alias(name, ALIAS, number)
    except BaseException as error:
        _put_back(client, name, before, tags=new_tags, error=error)
        raise


@dataclass(frozen=True)
class _State:
    """A version's tags, who holds the alias, and the stages of the version and of those in Production."""

    number: str
    tags: Mapping[str, str]
    alias: str | None
    stages: Mapping[str, str]


def _read(client: "MlflowClient", name: str, number: str) -> _State:
    versions = {str(each.version): each for each in client.search_model_versions(f"name='{name}'")}
    stages = {key: each.current_stage for key, each in versions.items() if key == number or each.current_stage == STAGE}
    return _State(number, dict(versions[number].tags), production_number(client, name), stages)


def _put_back(
    client: "MlflowClient", name: str, before: _State, *, tags: Mapping[str, str], error: BaseException
) -> None:
    """Tries every step, whatever becomes of the others."""
    failed = []
    for step in _steps_back(client, name, before, tags=tags):
        try:
            with stages_allowed():
                step()
        except Exception as another:
            failed.append(another)
    if failed:
        raise ModelError(
            f"{name} version {before.number} could not be promoted ({error}), nor could all be put back ({failed[0]}): "
            "alias and stage may disagree. The alias counts; promote or roll back again when MLflow answers."
        ) from error


def _steps_back(
    client: "MlflowClient", name: str, before: _State, *, tags: Mapping[str, str]
) -> Iterator[Callable[[], object]]:
    if before.alias:
        yield partial(client.set_registered_model_alias, name, ALIAS, before.alias)
    else:
        yield partial(client.delete_registered_model_alias, name, ALIAS)
    for number, stage in before.stages.items():
        yield partial(client.transition_model_version_stage, name, number, stage)
    for key in tags:
        if key in before.tags:
            yield partial(client.set_model_version_tag, name, before.number, key, before.tags[key])
        else:
            yield partial(client.delete_model_version_tag, name, before.number, key)
