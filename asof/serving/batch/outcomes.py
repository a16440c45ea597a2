"""Requests with their inputs -> a prediction or an exception for each. It blocks: to be called in a thread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from pydantic import BaseModel

from asof.errors import AsOfError
from asof.inference.served_model import ServedModel
from asof.serving.features.inputs import Inputs
from asof.serving.http.problems import BY_STATUS, INTERNAL_ERROR, Occurrence, Problem, describe, problem
from asof.serving.prediction.predictor import Prediction, Predictor, checked, identity
from asof.use_case import Score

Outcome = Prediction | Exception


def outcomes(predictor: Predictor, requests: Sequence[BaseModel], inputs: Inputs) -> list[Outcome]:
    """What the predictor says of each of n requests; whatever is no AsOfError is a failure of the model."""
    scores = iter(scored(predictor.model, inputs.values, len(inputs.admitted)))
    return [
        told if isinstance(told, Exception) else _prediction(predictor, request, next(scores), told)
        for request, told in zip(requests, inputs.told, strict=True)
    ]


def _prediction(predictor: Predictor, request: BaseModel, score: float | Exception, evidence: Any) -> Outcome:
    if isinstance(score, Exception):
        return score
    try:
        answer = predictor.use_case.respond(request, Score(score, predictor.model.facts.threshold))
    except Exception as error:
        return error
    return Prediction(answer, evidence)


def scored(model: ServedModel, values: Mapping[str, NDArray[Any]], count: int) -> list[float | Exception]:
    """A probability or an exception for each of `count` rows. Where they fail together, each half is tried by itself,
    down to the single row: one odd row costs its batch a few calls more."""
    if not count:
        return []
    try:
        return [checked(probability) for probability in model.probabilities_of(values)]
    except Exception as error:
        if count == 1:
            return [error]
    half = count // 2
    first = {name: each[:half] for name, each in values.items()}
    second = {name: each[half:] for name, each in values.items()}
    return scored(model, first, half) + scored(model, second, count - half)


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
    return problem(BY_STATUS[500], INTERNAL_ERROR, occurrence)
