"""ModelVersion -> Production, through the gate and into the history; and rollback."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import isfinite
from typing import Any

from asof.errors import ModelError
from asof.features.feature_store import mismatch
from asof.settings import Settings
from asof.trust.signing_keys import trusted_keys
from asof.use_case import FromStore, UseCase
from training.release.promotion.hash_chain import predecessor, was_in_production
from training.release.promotion.history import Change, Event
from training.release.promotion.locks import Lock
from training.release.promotion.succession import succession
from training.release.registry.tags import bento_tag
from training.release.registry.versions import ModelVersion, read_version
from training.targets.rules import Criterion

Judge = Callable[[ModelVersion | None], Sequence[Criterion]]
"""Champion (None: nothing is in Production) -> every criterion of the gate."""


@dataclass(frozen=True)
class Promotion:
    """The outcome for a version: `promoted` where it is in Production now, `previous` is the one it replaced.

    `criteria` is empty where no gate was needed: for a version that is in Production already, and for a rollback.
    """

    name: str
    version: str
    promoted: bool
    previous: str | None
    criteria: tuple[Criterion, ...] = ()


def promote(
    settings: Settings,
    challenger: ModelVersion,
    *,
    judge: Judge,
    reason: str = "passed the gate",
    dry_run: bool = False,
) -> Promotion:
    """Puts the version into Production if `judge` gives at least one criterion and all have passed.

    A version that is in Production already stays there. `dry_run` judges and changes nothing. Raises ModelError where
    another promotion of the model is going on, or where a rollback changed the production version while `judge` ran.
    """
    name, version = challenger.name, challenger.version
    with succession(settings, name, locks=() if dry_run else (Lock.PROMOTION, Lock.CHANGE)) as model:
        previous = model.current
        if previous == version:
            return Promotion(name, version, True, predecessor(model.entries, version))
        champion = read_version(model.client, name, previous) if previous else None
        with nullcontext() if dry_run else model.unlocked():
            criteria = tuple(judge(champion))
        promoted = bool(criteria) and all(criterion.passed for criterion in criteria) and not dry_run
        if promoted:
            evidence = {"criteria": [_plain(criterion) for criterion in criteria]}
            reason = "; ".join([reason, *(criterion.ground for criterion in criteria if criterion.ground)])
            model.add(
                _change(settings, Event.PROMOTED, challenger, previous=previous, reason=reason, evidence=evidence)
            )
        return Promotion(name, version, promoted, previous, criteria)


def rollback(settings: Settings, use_case: UseCase, *, to: str | None = None, reason: str) -> Promotion:
    """Puts a version back into Production: `to`, or else the one that the current version replaced.

    The reason is kept in the history, and as a tag of the replaced version. A version that is in Production already
    stays there, so a call with `to` can be repeated. Raises ModelError where there is no version to go back to, where
    `to` has never been in Production, where the store or the request no longer gives the version's features, or where
    another promotion or rollback of the model is going on.
    """
    name = use_case.model_name
    with succession(settings, name, locks=[Lock.CHANGE]) as model:
        current = model.current
        if current is None:
            raise ModelError(f"No version of {name} is in Production: promote one first.")
        target = to or predecessor(model.entries, current)
        if target is None:
            raise ModelError(f"{name} version {current} was the first in Production: name another with --to.")
        version = read_version(model.client, name, target)
        if not was_in_production(model.entries, target):
            raise ModelError(f"{name} version {target} has never been in Production: promote it through the gate.")
        if target != current:
            _require_fit(settings, use_case, version)
            model.add(_change(settings, Event.ROLLED_BACK, version, previous=current, reason=reason, evidence={}))
        return Promotion(name, target, True, current)


def _require_fit(settings: Settings, use_case: UseCase, version: ModelVersion) -> None:
    """Raises ModelError, naming the features that differ, where the version could no longer predict."""
    use_case.check_model(version.facts)
    if isinstance(use_case.source, FromStore) and (difference := mismatch(settings, version.facts.contract)):
        raise ModelError(
            f"{version.name} version {version.version} could not answer any more: {difference} "
            "Or choose another version with --to."
        )


def _change(
    settings: Settings, event: Event, version: ModelVersion, *, previous: str | None, reason: str, evidence: Any
) -> Change:
    tag = bento_tag(version.tag, trusted_keys(settings))
    return Change(event, version.version, previous, reason, evidence, version.facts.fingerprint, tag)


def _plain(criterion: Criterion) -> dict[str, Any]:
    """Plain data for JSON: no NumPy types, NaN and infinity as text, and no ground where there is none."""
    figures = {key: float(value) if isfinite(value) else str(value) for key, value in criterion.figures.items()}
    ground = {"ground": criterion.ground} if criterion.ground else {}
    passed = bool(criterion.passed)
    return {"name": criterion.name, "passed": passed, "figures": figures, "reason": criterion.reason} | ground
