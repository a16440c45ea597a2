"""Requests with their inputs -> a prediction or an exception for each. It blocks: to be called in a thread."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from pydantic import BaseModel

from asof.serving.batch.inputs import Inputs
from asof.serving.model import ServedModel
from asof.serving.predictor import Prediction, Predictor, checked
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
