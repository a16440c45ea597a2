"""Kept answers -> Replay: whether the kept values give the same predictions by the kept model, and if not, why."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np

from asof.errors import ModelError
from asof.ledger.reading.kept_answer import ERASED, KeptAnswer, KeptModel
from asof.settings import Settings
from asof.targets import Prediction
from asof.use_case import UseCase
from training.audit.environment import Drift, environment_drift
from training.audit.replay.models import ReplayModel, model_that_answered
from training.audit.replay.rescoring import Result, rescore, same_bits
from training.tracking.registry_tables import open_registry


class Outcome(StrEnum):
    """What came of an answer; GONE: a part of it is no longer there, REFUSED: it had no prediction."""

    SAME = "same"
    DIFFERS = "differs"
    GONE = "gone"
    ERASED = "erased"
    REFUSED = "refused"


@dataclass(frozen=True)
class Replayed:
    """One answer: its prediction and class as kept and as they are now (None: there is none), and why they differ."""

    request_id: str
    at: datetime
    entity: str | None
    version: str | None
    outcome: Outcome
    kept: Prediction | None = None
    now: Prediction | None = None
    kept_answer: str | None = None
    now_answer: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Replay:
    """`agrees` unless an answer differs or a part of it is gone; `counts` are the answers by outcome.

    `notes` are what is no longer as it was, though the predictions may be the same. `environment` has what has changed
    since the training of a model whose predictions differ, `greatest_difference` those predictions' largest.
    """

    model: str
    agrees: bool
    counts: Mapping[str, int]
    greatest_difference: float | None
    notes: tuple[str, ...]
    environment: tuple[Drift, ...]
    answers: tuple[Replayed, ...]


def replay(settings: Settings, use_case: UseCase, answers: Sequence[KeptAnswer]) -> Replay:
    """Computes answers again, in their order; each model is loaded once, and a missing one stops no other."""
    results: dict[int, Replayed] = {}
    notes: list[str] = []
    environment: dict[str, Drift] = {}
    for kept, places in _by_model(answers):
        own = [answers[place] for place in places]
        try:
            model = model_that_answered(settings, use_case, kept)
        except ModelError as error:
            results |= zip(places, (_without(each, Outcome.GONE, str(error)) for each in own), strict=True)
            continue
        replayed = _replayed(model, kept, own)
        results |= zip(places, replayed, strict=True)
        notes += model.notes
        if any(each.outcome is Outcome.DIFFERS for each in replayed):
            tags = open_registry(settings).get_run(kept.run_id).data.tags
            environment |= {each.name: each for each in environment_drift(tags) if each.changed}
    every = tuple(results.get(place) or _unscored(answer) for place, answer in enumerate(answers))
    counts = Counter(str(each.outcome) for each in every)
    return Replay(
        use_case.model_name,
        agrees=not counts[Outcome.DIFFERS] and not counts[Outcome.GONE],
        counts=dict(counts),
        greatest_difference=_greatest_difference(every),
        notes=tuple(notes),
        environment=tuple(environment.values()),
        answers=every,
    )


def _by_model(answers: Sequence[KeptAnswer]) -> list[tuple[KeptModel, list[int]]]:
    """Each model with the places of its answers that have a prediction and its values."""
    places: dict[int, list[int]] = {}
    for place, answer in enumerate(answers):
        if answer.prediction is not None and answer.values:
            places.setdefault(answer.model.id, []).append(place)
    models = {answer.model.id: answer.model for answer in answers}
    return [(models[number], own) for number, own in places.items()]


def _unscored(answer: KeptAnswer) -> Replayed:
    if answer.code == ERASED:
        return _without(answer, Outcome.ERASED, "The entity, the values and the prediction were erased.")
    if answer.prediction is None:
        return _without(answer, Outcome.REFUSED, f"It was refused ({answer.code}): there is no prediction to compare.")
    return _without(answer, Outcome.GONE, "Its values are not in the ledger.")


def _without(answer: KeptAnswer, outcome: Outcome, reason: str) -> Replayed:
    ids = answer.request_id, answer.at, answer.entity, answer.model.version
    return Replayed(*ids, outcome, answer.prediction, kept_answer=answer.answer, reason=reason)


def _replayed(model: ReplayModel, kept: KeptModel, answers: Sequence[KeptAnswer]) -> list[Replayed]:
    if lacking := model.lacking(kept):
        reason = f"The values of {', '.join(lacking)} are not in the ledger, and the model takes them."
        return [_without(each, Outcome.GONE, reason) for each in answers]
    return [_compared(model, *each) for each in zip(answers, rescore(model.served, answers), strict=True)]


def _compared(model: ReplayModel, answer: KeptAnswer, now: Result) -> Replayed:
    ids = answer.request_id, answer.at, answer.entity, answer.model.version
    if isinstance(now, Exception):
        return _without(answer, Outcome.DIFFERS, f"The model fails at its values now ({type(now).__name__}): {now}")
    (place,) = model.served.facts.output.decisions([now])
    classes = answer.model.classes
    decided = classes[place] if classes and place is not None else None
    same, reason = same_bits(now, answer.prediction), ""
    if not same:
        reason = _why(model)
    elif place != answer.decision:
        reason = "The prediction is the same, and the answer differs: the threshold or the classes have changed."
    outcome = Outcome.DIFFERS if reason else Outcome.SAME
    return Replayed(*ids, outcome, answer.prediction, now, answer.answer, decided, reason)


def _why(model: ReplayModel) -> str:
    facts = model.served.facts
    derived = f"the code of the derived columns ({', '.join(facts.derived)}), or " if facts.derived else ""
    return (
        f"The model is as it was signed by key {model.served.signed_by}, and {model.served.runtime.name} computes it. "
        f"What differs is {derived}its libraries or processor, or the kept values."
    )


def _greatest_difference(answers: Sequence[Replayed]) -> float | None:
    pairs = [(each.kept, each.now) for each in answers if each.now is not None and each.outcome is Outcome.DIFFERS]
    return max((float(np.max(np.abs(np.subtract(now, kept)))) for kept, now in pairs if kept is not None), default=None)
