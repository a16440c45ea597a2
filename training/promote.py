"""ModelVersion -> Production: alias and stage together, and only through the gate; and back again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from asof.errors import ModelError
from asof.settings import Settings
from asof.use_case import UseCase
from training.contest import BuildSet, hold_contest
from training.gate import Criterion, judge
from training.production import production_number, put_into_production
from training.register import ModelVersion, read_version
from training.tracking import open_tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROMOTED_AT, PROMOTED_FROM = "promoted_at", "promoted_from"


@dataclass(frozen=True)
class Promotion:
    """What became of a version: `promoted` says that it is in Production now.

    `previous` is the version that was there before, if any. `criteria` is empty where the gate was not asked: for a
    version that is in Production already, and for a rollback.
    """

    name: str
    version: str
    promoted: bool
    previous: str | None
    criteria: tuple[Criterion, ...] = ()


def promote(
    settings: Settings, version: ModelVersion, *, training_set_for: BuildSet, further: Sequence[Criterion] = ()
) -> Promotion:
    """Puts the version into Production if it passes every criterion of the gate, and those that are `further` given.

    `training_set_for` builds the training set of a contract at the version's own as_of and known_at: the version in
    Production may take other features. Both are scored on the same held-out users, whom neither was trained on. A
    version that is in Production already stays there. Raises ModelError where the set is not the one that the
    version was trained on, or where the two share no users to be compared on.
    """
    client = open_tracking(settings)
    previous = production_number(client, version.name)
    if previous == version.version:
        # An earlier crash may have left the stage behind.
        put_into_production(client, version.name, version.version)
        return Promotion(version.name, version.version, True, _predecessor(client, version.name, version.version))
    champion = read_version(client, version.name, previous) if previous else None
    contest = hold_contest(settings, version, champion, training_set_for=training_set_for)
    criteria = (*judge(contest), *further)
    promoted = all(criterion.passed for criterion in criteria)
    if promoted:
        tags = {PROMOTED_AT: datetime.now(UTC).isoformat(timespec="seconds"), PROMOTED_FROM: previous or ""}
        put_into_production(client, version.name, version.version, tags=tags)
    return Promotion(version.name, version.version, promoted, previous, criteria)


def rollback(settings: Settings, use_case: UseCase, *, to: str | None = None, reason: str) -> Promotion:
    """Brings back a version that was in Production before: `to`, or else the one that the current one replaced.

    The reason is kept as a tag of the version that leaves. A version that is in Production already stays there, so
    that the same call with `to` may be repeated. Raises ModelError where there is nothing to go back to, or where
    `to` has never been in Production: only the gate lets a version in for the first time.
    """
    client, name = open_tracking(settings), use_case.model_name
    current = production_number(client, name)
    if current is None:
        raise ModelError(f"No version of {name} is in Production: promote one first.")
    target = to or _predecessor(client, name, current)
    if target is None:
        raise ModelError(f"{name} version {current} was the first in Production: name the version to go to.")
    read_version(client, name, target)
    if PROMOTED_AT not in client.get_model_version(name, target).tags:
        raise ModelError(f"{name} version {target} has never been in Production: promote it through the gate.")
    put_into_production(client, name, target)
    if target != current:
        left = {"rolled_back_at": datetime.now(UTC).isoformat(timespec="seconds"), "rolled_back_because": reason}
        for key, value in left.items():
            client.set_model_version_tag(name, current, key, value)
    return Promotion(name, target, True, current)


def _predecessor(client: "MlflowClient", name: str, number: str) -> str | None:
    """The version that this one replaced when it was promoted, or None where it was the first."""
    return client.get_model_version(name, number).tags.get(PROMOTED_FROM) or None
