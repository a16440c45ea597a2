"""ModelVersion -> Production: only through the gate, and into the history; and back again."""

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
from training.release.gate.criteria import Criterion
from training.release.promotion.history import Change, Event
from training.release.promotion.locks import Turn
from training.release.promotion.succession import succession
from training.release.registry.tags import bento_tag, model_tag
from training.release.registry.versions import ModelVersion, read_version

Judge = Callable[[ModelVersion | None], Sequence[Criterion]]
"""Gives every criterion of the gate, for the version in Production that the challenger is to replace (None: none)."""


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
    settings: Settings,
    challenger: ModelVersion,
    *,
    judge: Judge,
    reason: str = "passed the gate",
    dry_run: bool = False,
) -> Promotion:
    """Puts the version into Production if every criterion that `judge` gives has passed, and there is one at least.

    A version that is in Production already stays there. With `dry_run` it judges, and changes nothing at all. Raises
    ModelError where another promotion of the model is going on, or where what is in Production changed while it judged,
    as by a rollback, which does not wait for it.
    """
    name, version = challenger.name, challenger.version
    with succession(settings, name, turns=() if dry_run else (Turn.PROMOTION, Turn.CHANGE)) as line:
        previous = line.current
        if previous == version:
            return Promotion(name, version, True, line.predecessor(version))
        champion = read_version(line.client, name, previous) if previous else None
        with nullcontext() if dry_run else line.meanwhile():
            criteria = tuple(judge(champion))
        promoted = bool(criteria) and all(criterion.passed for criterion in criteria) and not dry_run
        if promoted:
            evidence = {"criteria": [_plain(criterion) for criterion in criteria]}
            line.add(_change(settings, Event.PROMOTED, challenger, previous=previous, reason=reason, evidence=evidence))
        return Promotion(name, version, promoted, previous, criteria)


def rollback(settings: Settings, use_case: UseCase, *, to: str | None = None, reason: str) -> Promotion:
    """Brings back a version that was in Production before: `to`, or else the one that the current one replaced.

    The reason is kept in the history, and as a tag of the version that leaves. A version that is in Production already
    stays there, so that the same call with `to` may be repeated. Raises ModelError where there is nothing to go back
    to, where `to` has never been in Production (only the gate lets a version in for the first time), where the store
    no longer gives what the version takes, or where another promotion or rollback of the model is going on.
    """
    name = use_case.model_name
    with succession(settings, name, turns=[Turn.CHANGE]) as line:
        current = line.current
        if current is None:
            raise ModelError(f"No version of {name} is in Production: promote one first.")
        target = to or line.predecessor(current)
        if target is None:
            raise ModelError(f"{name} version {current} was the first in Production: name the version to go to.")
        version = read_version(line.client, name, target)
        if not line.was_in_production(target):
            raise ModelError(f"{name} version {target} has never been in Production: promote it through the gate.")
        if target != current:
            _require_fit(settings, use_case, version)
            line.add(_change(settings, Event.ROLLED_BACK, version, previous=current, reason=reason, evidence={}))
        return Promotion(name, target, True, current)


def _require_fit(settings: Settings, use_case: UseCase, version: ModelVersion) -> None:
    """Raises ModelError, naming the features that differ, where the version could no longer answer."""
    use_case.check_model(version.facts)
    if isinstance(use_case.source, FromStore) and (found := mismatch(settings, version.facts.contract)):
        raise ModelError(
            f"{version.name} version {version.version} could not answer any more: {found} "
            "Or roll back to another version with --to."
        )


def _change(
    settings: Settings, event: Event, version: ModelVersion, *, previous: str | None, reason: str, evidence: Any
) -> Change:
    tag = bento_tag(model_tag(version.name, version.version, version.run_id), trusted_keys(settings))
    return Change(event, version.version, previous, reason, evidence, version.facts.fingerprint, tag)


def _plain(criterion: Criterion) -> dict[str, Any]:
    """As JSON, which has neither NumPy's types nor a number that is none."""
    figures = {key: float(value) if isfinite(value) else str(value) for key, value in criterion.figures.items()}
    return vars(criterion) | {"passed": bool(criterion.passed), "figures": figures}
