"""The outcome of each instance of a batch, a prediction or an exception, and its item in the answer. Blocks."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from asof.errors import AsOfError
from asof.inference.served_model import scored
from asof.ledger.answers import ReadColumns
from asof.serving.features.inputs import Evidence, ModelInputs
from asof.serving.http.problems import BY_STATUS, INTERNAL_ERROR, Occurrence, Problem, describe, problem
from asof.serving.prediction.predictor import Prediction, Predictor
from asof.targets import Prediction as ModelPrediction

Outcome = Prediction | Exception
Item = Mapping[str, Any]

ARROW = "application/vnd.apache.arrow.stream"
"""The media type of the items as Arrow; the other is JSON."""
OK = "ok"
COMMON = {"type", "title", "instance", "request_id", "error"}
"""Members of a problem document that an item omits: they follow from its code or are those of the whole answer."""


class Answered(NamedTuple):
    """The outcome of one instance and the predictor that answered it; `row` is its row of what was `read`, if any."""

    predictor: Predictor
    outcome: Outcome
    read: ReadColumns | None = None
    row: int | None = None

    @property
    def failure(self) -> Exception | None:
        """The exception of a model that failed; None for a prediction or an AsOfError."""
        failed = isinstance(self.outcome, Exception) and not isinstance(self.outcome, AsOfError)
        return self.outcome if failed else None  # type: ignore[return-value]


def outcomes(predictor: Predictor, requests: Sequence[BaseModel], inputs: ModelInputs) -> list[Outcome]:
    """The outcome of each of n requests; any exception other than an AsOfError is a failure of the model."""
    scores = iter(scored(predictor.model, inputs.values, len(inputs.accepted)))
    respond, score_of = predictor.use_case.respond, predictor.model.facts.output.score

    def prediction(request: BaseModel, score: ModelPrediction | Exception, evidence: Evidence) -> Outcome:
        if isinstance(score, Exception):
            return score
        try:
            return Prediction(respond(request, score_of(score)), evidence, score)
        except Exception as error:  # of a use case
            return error

    return [
        judged if isinstance(judged, Exception) else prediction(request, next(scores), judged)
        for request, judged in zip(requests, inputs.judged, strict=True)
    ]


def item(answered: Answered, default: Predictor, occurrence: Occurrence) -> dict[str, Any]:
    """The answer of POST /predict without the members common to the batch; `model` only where it is not `default`'s."""
    outcome = answered.outcome
    if not isinstance(outcome, Prediction):
        return problem_item(outcome, occurrence)
    members = outcome.answer.model_dump()
    if answered.predictor is not default:
        members["model"] = answered.predictor.identity
    return {**members, **outcome.evidence}


def problem_item(error: Exception, occurrence: Occurrence) -> dict[str, Any]:
    """The item of an instance that has no answer."""
    return {"problem": _document(error, occurrence).model_dump(exclude_none=True, exclude=COMMON)}


def code_of(item: Item) -> str:
    """`ok`, or the problem's code."""
    code: str = item["problem"]["code"] if "problem" in item else OK
    return code


def _document(error: Exception, occurrence: Occurrence) -> Problem:
    if isinstance(error, AsOfError):
        return describe(error, occurrence)[0]
    return problem(BY_STATUS[500], INTERNAL_ERROR, occurrence)
