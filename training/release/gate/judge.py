"""A challenger -> its `Judge`: a function of the champion that gives every criterion of the gate."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from asof.errors import TrainingSetError
from asof.features.feature_contract import FeatureContract
from asof.features.feature_store import definition_records, registered_contract
from asof.settings import Settings
from asof.use_case import FromStore, UseCase
from training.features.datasets.dataset import build_training_set, newest_labelled
from training.features.datasets.training_set import TrainingSet
from training.release.gate.compiled_criterion import compiled_agrees
from training.release.gate.contest import hold_contest
from training.release.gate.lighter import lighter_than
from training.release.gate.parity_criterion import online_store_agrees
from training.release.gate.serving_criteria import contract_fits, data_checked, served_as_evaluated
from training.release.gate.shadow_criterion import tried_in_shadow
from training.release.registry.versions import ModelVersion
from training.targets import rules_of
from training.targets.rules import Criterion

COMPARED = "compared on users whom neither was trained on"


def judge_of(
    settings: Settings, use_case: UseCase, challenger: ModelVersion, *, known_at: datetime | None = None
) -> Callable[[ModelVersion | None], tuple[Criterion, ...]]:
    """Both are compared at the newest moment that has labels, as known at `known_at` (default: now).

    All criteria are evaluated, even where an early one fails; only the comparison needs a model that loads. The judge
    raises the ModelError of `hold_contest`, and the errors of the platforms.
    """

    def criteria(champion: ModelVersion | None) -> tuple[Criterion, ...]:
        moment = newest_labelled(settings, use_case, known_at)
        served = served_as_evaluated(settings, use_case, challenger)
        fits = contract_fits(settings, use_case, challenger)
        if served[0].passed and fits.passed:
            compared = _compared(settings, use_case, challenger, champion, moment=moment, known_at=known_at)
        else:
            compared = (
                Criterion(COMPARED, False, {}, "not compared: the version does not load, or its features do not fit"),
            )
        facts = challenger.facts
        months = [(facts.as_of, facts.known_at), (moment, known_at)]
        stored = fits.passed and isinstance(use_case.source, FromStore)
        parity = (online_store_agrees(settings, use_case, facts.contract),) if stored else ()
        compiled = compiled_agrees(settings, use_case, challenger)
        shadow = _in_shadow(settings, use_case, challenger, champion)
        return (*compared, fits, *parity, *data_checked(settings, use_case, months), *served, compiled, *shadow)

    return criteria


def _compared(
    settings: Settings,
    use_case: UseCase,
    challenger: ModelVersion,
    champion: ModelVersion | None,
    *,
    moment: datetime,
    known_at: datetime | None,
) -> tuple[Criterion, ...]:
    sampled = use_case.sampled(challenger.facts.sample)

    def rows(contract: FeatureContract) -> TrainingSet:
        return build_training_set(
            settings, sampled, moment, known_at=known_at, feature_service=contract.feature_service
        )

    redefined = _redefined(settings, champion) if champion else ""
    try:
        contest = hold_contest(settings, challenger, None if redefined else champion, training_set_for=rows)
    except TrainingSetError as error:  # labels that are not of the target, or no complete row
        return (Criterion(COMPARED, False, {}, str(error)),)
    if use_case.gate.equivalence_margin is not None and champion and not redefined:
        contest = replace(contest, lighter=lighter_than(settings, challenger, champion))
    rules = rules_of(use_case.target)
    described, figures = rules.describe(contest.labels)
    figures = {"rows": float(contest.labels.size), **figures}
    reason = f"{contest.labels.size} rows as of {moment.date()}, {described}{redefined}"
    return (Criterion(COMPARED, True, figures, reason), *rules.criteria(contest, use_case.gate))


def _in_shadow(
    settings: Settings, use_case: UseCase, challenger: ModelVersion, champion: ModelVersion | None
) -> tuple[Criterion, ...]:
    """Nothing without bounds, or without a champion that answers."""
    if use_case.gate.min_shadow_answers is None or champion is None or _redefined(settings, champion):
        return ()
    return (tried_in_shadow(settings, use_case, challenger, champion),)


def _redefined(settings: Settings, champion: ModelVersion) -> str:
    """Why the champion cannot be compared: its feature definitions changed or are not recorded. Empty where it can.

    The service refuses to serve such a champion, so the challenger is judged as a first version.
    """
    contract = champion.facts.contract
    registered = registered_contract(settings, contract.feature_service) if contract.views else None
    if registered is None:
        return ""
    changed = contract.redefined(registered.definitions, definition_records(settings, contract).accepted)
    if not (changed or contract.unrecorded(registered.definitions)):
        return ""
    reason = "; ".join(changed.values()) or "it does not record the definitions of its features"
    return f"; not compared with version {champion.version}, which cannot answer any more: {reason}"
