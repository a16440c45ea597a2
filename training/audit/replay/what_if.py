"""Kept answers and another version -> WhatIf: what that version would have said of the same values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from asof.errors import DataError, ModelError
from asof.ledger.reading.kept_answer import KeptAnswer
from asof.settings import Settings
from asof.targets import Prediction
from asof.use_case import UseCase
from training.audit.replay.models import ReplayModel, other_version
from training.audit.replay.rescoring import predict_kept


@dataclass(frozen=True)
class OtherAnswer:
    """One answer beside what the other version says; `problem` is set where that has no prediction."""

    request_id: str
    at: datetime
    entity: str | None
    version: str | None
    kept: Prediction
    other: Prediction | None
    kept_answer: str | None
    other_answer: str | None
    changed: bool
    problem: str = ""


@dataclass(frozen=True)
class WhatIf:
    """`changed` answers of `answers` would be of another class; `mean_difference` is that of absolute differences."""

    model: str
    version: str
    changed: int
    failed: int
    mean_difference: float | None
    greatest_difference: float | None
    answers: tuple[OtherAnswer, ...]


def what_if(settings: Settings, use_case: UseCase, answers: Sequence[KeptAnswer], version: str) -> WhatIf:
    """The answers that have a prediction and its values, beside those of another version.

    Raises ModelError if there is no such version, or it takes features that the answers do not have; DataError if no
    answer has a prediction.
    """
    model = other_version(settings, use_case, version)
    valued = [each for each in answers if each.prediction is not None and each.values]
    if not valued:
        raise DataError("None of the chosen answers has a prediction and its values: choose others.")
    for kept in {each.model.id: each.model for each in valued}.values():
        if lacking := model.lacking(kept):
            raise ModelError(
                f"Version {version} takes {', '.join(lacking)}, which answers of version {kept.version} do not have: "
                "choose a version with the same features."
            )
    compared = tuple(_compared(model, *each) for each in zip(valued, predict_kept(model.served, valued), strict=True))
    differences = [_difference(each) for each in compared if each.other is not None]
    return WhatIf(
        use_case.model_name,
        version,
        changed=sum(each.changed for each in compared),
        failed=sum(bool(each.problem) for each in compared),
        mean_difference=float(np.mean(differences)) if differences else None,
        greatest_difference=max(differences, default=None),
        answers=compared,
    )


def _compared(model: ReplayModel, answer: KeptAnswer, other: Prediction | Exception) -> OtherAnswer:
    assert answer.prediction is not None  # noqa: S101 - the caller has left out the others
    ids = answer.request_id, answer.at, answer.entity, answer.model.version
    if isinstance(other, Exception):
        problem = f"{type(other).__name__}: {other}"
        return OtherAnswer(*ids, answer.prediction, None, answer.answer, None, changed=True, problem=problem)
    (place,) = model.served.facts.output.decisions([other])
    classes = answer.model.classes
    decided = classes[place] if classes and place is not None else None
    return OtherAnswer(*ids, answer.prediction, other, answer.answer, decided, changed=decided != answer.answer)


def _difference(answer: OtherAnswer) -> float:
    return float(np.max(np.abs(np.subtract(answer.other or 0.0, answer.kept))))
