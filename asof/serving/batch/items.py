"""Outcomes -> items: what is told of each instance, in the order of the instances, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asof.errors import AsOfError
from asof.serving.answers import identity
from asof.serving.batch.outcomes import Outcome
from asof.serving.predictor import Prediction, Predictor
from asof.serving.problems import BY_STATUS, FAILED, Occurrence, Problem, describe, problem

Item = Mapping[str, Any]
OK = "ok"
COMMON = {"type", "title", "instance", "request_id"}
"""Members of a problem document that its code and the whole answer tell."""


@dataclass(frozen=True)
class Answered:
    """The outcome of one instance, and the predictor that it is of."""

    predictor: Predictor
    outcome: Outcome


def item(answered: Answered, standard: Predictor, occurrence: Occurrence) -> Item:
    """What POST /predict answers, but for what is common to the batch.

    `model` is there only where another than the `standard` predictor answered.
    """
    outcome = answered.outcome
    if not isinstance(outcome, Prediction):
        return {"problem": _document(outcome, occurrence).model_dump(exclude_none=True, exclude=COMMON)}
    told = outcome.answer.model_dump()
    if answered.predictor is not standard:
        told["model"] = identity(answered.predictor.model, answered.predictor.lineage)
    return {**told, **outcome.evidence}


def code_of(told: Item) -> str:
    """`ok`, or the problem's code."""
    code: str = told["problem"]["code"] if "problem" in told else OK
    return code


def failures(every: Sequence[Answered]) -> list[int]:
    """The places of those at which the model failed, which is nobody's fault but ours."""
    return [place for place, each in enumerate(every) if _is_failure(each.outcome)]


def _is_failure(outcome: Outcome) -> bool:
    return isinstance(outcome, Exception) and not isinstance(outcome, AsOfError)


def _document(error: Exception, occurrence: Occurrence) -> Problem:
    if isinstance(error, AsOfError):
        return describe(error, occurrence)[0]
    return problem(BY_STATUS[500], FAILED, occurrence)
