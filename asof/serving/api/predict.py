"""POST /predict, from the bytes of a request to those of its answer.

It is plain ASGI, and FastAPI only describes it (`asof.serving.api.routes`): FastAPI's dependencies, exit stacks and
second validation of the answer take longer than all that is done here. So do BentoML's layers around every request,
which `FastLane` bypasses.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from asof.errors import AsOfError
from asof.ledger.answers import Answer, Single
from asof.serving.access.scopes import WHAT_IF, require
from asof.serving.features.overrides import overrides_of
from asof.serving.http.boundary import explain, problem_response
from asof.serving.http.problems import BY_STATUS
from asof.serving.http.strict_json import JSON, parse, read_body
from asof.serving.ledger.keeper import HEADER
from asof.serving.logs.access_log import KEY
from asof.serving.prediction.predictor import Mark

if TYPE_CHECKING:
    from asof.ledger.answers import ReadValues
    from asof.serving.ledger.keeper import Kept
    from asof.serving.prediction.live import LiveModel
    from asof.serving.prediction.predictor import Prediction, Predictor

Write = Callable[["Predictor", "Prediction", str], bytes]
"""From the predictor that answers, its prediction and the request's id to the body of the response."""
TRACEPARENT = b"traceparent"
"""The header of W3C's Trace Context: OpenTelemetry reads from it whether the caller traces the request."""


class FastLane:
    """ASGI middleware: POST to an endpoint that `lane` knows goes directly there, unless the caller traces it.

    OpenTelemetry creates three spans for each request, traced or not, and BentoML's timeout keeps the objects of a
    request alive until it has elapsed, for the garbage collector to visit. A prediction has deadlines of its own.
    """

    def __init__(self, app: ASGIApp, *, lane: Callable[[str], ASGIApp | None]) -> None:
        self.app, self._lane = app, lane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        direct = scope["type"] == "http" and scope["method"] == "POST" and self._lane(scope["path"])
        traced = direct and any(name == TRACEPARENT for name, _ in scope["headers"])
        await (direct if direct and not traced else self.app)(scope, receive, send)


class Predict:
    """The endpoint; `state.live` must be set before the first request. `payload` is the request's type."""

    def __init__(self, state: State, payload: type[BaseModel]) -> None:
        self._state, self._payload = state, payload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def read() -> BaseModel:
            return parse(await read_body(scope, receive), self._payload)

        try:
            response = await respond(self._state.live, scope, read, write=_body)
        except ClientDisconnect:
            return
        await response(scope, receive, send)


async def respond(
    live: "LiveModel", scope: Scope, read: Callable[[], Awaitable[BaseModel]], *, write: Write
) -> Response:
    """The response to a request for one prediction, whose payload `read` returns; it is counted and kept."""
    request: BaseModel | None = None
    try:
        request = await read()
        return await _answer(live, request, scope, write)
    except (AsOfError, HTTPException) as error:
        return await refusal(live, error, scope, request=request)
    except ClientDisconnect:
        raise
    except Exception:
        await _keep_problem(live, scope, request, status=500, code=BY_STATUS[500].code, read=None)
        raise


async def _answer(live: "LiveModel", request: BaseModel, scope: Scope, write: Write) -> Response:
    state = scope["state"]
    request_id = state["request_id"]
    if overrides_of(request):
        require(WHAT_IF, state, what="Overrides")
    predictor, prediction = await live.predict(request, Mark(request_id, state.get(KEY)))
    predictor.worker.metrics.predicted.inc()
    response = Response(write(predictor, prediction, request_id), media_type=JSON)
    response.raw_headers.append(prediction.kept.header)
    return response


def _body(predictor: "Predictor", prediction: "Prediction", request_id: str) -> bytes:
    """The members of `prediction_type` in its order; made of valid parts, they are not validated again."""
    return to_json(
        {
            **prediction.answer.model_dump(),
            "model": predictor.identity,
            "request_id": request_id,
            **prediction.evidence,
        }
    )


async def refusal(
    live: "LiveModel", error: AsOfError | HTTPException, scope: Scope, *, request: BaseModel | None
) -> Response:
    """The problem of a request for one prediction (None: it could not be read), which is counted and kept."""
    document, headers = explain(error, scope)
    live.worker.metrics.predictions.labels(document.code).inc()
    read = getattr(error, "read", None)
    kept = await _keep_problem(live, scope, request, status=document.status, code=document.code, read=read)
    return problem_response(document, {**headers, HEADER: kept})


async def _keep_problem(
    live: "LiveModel",
    scope: Scope,
    request: BaseModel | None,
    *,
    status: int,
    code: str,
    read: "ReadValues | None",
) -> "Kept":
    state, answer = scope["state"], Answer(live.worker.entity_text(request), status, code)
    single = Single(state["request_id"], state.get(KEY), answer, read)
    return await live.worker.ledger.keep(live.answer_source, [single], required=False)
