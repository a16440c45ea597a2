"""POST /predict, from the bytes of a request to those of its answer: the path that everybody waits for.

It is plain ASGI. FastAPI only describes it (`asof.serving.api.routes`): its dependencies, exit stacks and second
validation of a finished answer take longer than all that is done here."""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from asof.errors import AsOfError
from asof.serving.http.boundary import explain, occurrence, problem_response
from asof.serving.http.strict_json import JSON, parse, read_body
from asof.serving.prediction.predictor import identity

if TYPE_CHECKING:
    from asof.serving.prediction.live import LiveModel
    from asof.serving.prediction.predictor import Prediction, Predictor


class Predict:
    """One address; `state.live` must be set before its first request. `payload` is what it takes."""

    def __init__(self, state: State, payload: type[BaseModel]) -> None:
        self._state, self._payload = state, payload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        live: LiveModel = self._state.live
        try:
            response = await self._answer(live, scope, receive)
        except (AsOfError, HTTPException) as error:
            response = _refuse(live, error, scope)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, live: "LiveModel", scope: Scope, receive: Receive) -> Response:
        request = parse(await read_body(scope, receive), self._payload)
        predictor, made = await live.predict(request)
        request_id = occurrence(scope).request_id
        predictor.worker.metrics.predicted.inc()
        entity = getattr(request, predictor.model.facts.contract.entity, None)
        predictor.worker.answer_log.answered(request_id, predictor, entity=entity, evidence=made.evidence)
        return Response(_text(predictor, made, request_id), media_type=JSON)


def _text(predictor: "Predictor", made: "Prediction", request_id: str) -> bytes:
    """The answer that `prediction_type` describes, in its order; made of valid parts, it is not validated again."""
    told: dict[str, Any] = {
        **made.answer.model_dump(),
        "model": identity(predictor.model, predictor.lineage),
        "request_id": request_id,
        **made.evidence,
    }
    return to_json(told)


def _refuse(live: "LiveModel", error: AsOfError | HTTPException, scope: Scope) -> Response:
    document, headers = explain(error, scope)
    live.worker.metrics.predictions.labels(document.code).inc()
    live.worker.answer_log.refused(
        document.request_id,
        live.answer_source,
        status=document.status,
        code=document.code,
        entity=getattr(document, "entity", None),
    )
    return problem_response(document, headers)
