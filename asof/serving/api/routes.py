"""The FastAPI app of a use case with all of its routes. The predictor is set later, when a worker starts."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from asof.errors import (
    AsOfError,
    ExplanationTooSlow,
    ExplanationUnavailable,
    FeatureStoreUnavailable,
    LedgerFull,
    NotReady,
)
from asof.features.join_keys import keys_of_extract
from asof.serving.api.answers import Health, ModelAnswer, following_answer, model_answer, shadow_answer
from asof.serving.api.features import add_features
from asof.serving.api.predict import Predict
from asof.serving.batch import description
from asof.serving.batch.predict_batch import PredictBatch
from asof.serving.features.evidence import prediction_type, whole_example
from asof.serving.features.options import payload_type
from asof.serving.http import openapi
from asof.serving.http.boundary import explain, problem_response
from asof.serving.http.examples import examples
from asof.serving.http.problems import BODY_STATUSES, invalid_request
from asof.serving.ledger.keeper import HEADER, Kept
from asof.serving.outcomes import description as outcomes
from asof.serving.outcomes.post_outcomes import PostOutcomes
from asof.serving.prediction.predictor import FeatureSource, input_type
from asof.use_case import FromStore, UseCase

if TYPE_CHECKING:
    from asof.serving.prediction.live import LiveModel
    from asof.serving.shadow.supervisor import Shadow

EXPLAINING = (ExplanationUnavailable, ExplanationTooSlow)
PREDICT, BATCH, OUTCOMES = "/predict", "/predict/batch", "/outcomes"
KEPT_HEADER = {HEADER: {"description": "How the ledger keeps this answer.", "schema": {"enum": [*Kept]}}}
STATIC = "static_content"
"""BentoML's path of Swagger UI."""


def create_app(use_case: UseCase) -> FastAPI:
    """The app, with the endpoints in plain ASGI as `predict`, `predict_batch` and `post_outcomes` of `app.state`.

    Before its first request, `app.state.live` must be set, and `app.state.follower` if the service follows.
    """
    app = FastAPI(title=use_case.title, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    source = input_type(use_case)
    _add_predict(app, use_case, source)
    _add_batch(app, use_case, source)
    _add_outcomes(app, use_case)
    if isinstance(use_case.source, FromStore):
        add_features(app, use_case, keys_of_extract(use_case.source.extract))
    not_ready = openapi.responses("/model", NotReady)
    app.add_api_route("/model", _model, summary="The model's lineage", response_model=ModelAnswer, responses=not_ready)
    unavailable: dict[int | str, dict[str, Any]] = {503: {"model": Health}}
    app.add_api_route("/health", _health, summary="Can it predict now?", response_model=Health, responses=unavailable)
    app.add_api_route("/", partial(_page, use_case.title), include_in_schema=False)
    app.add_exception_handler(AsOfError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_error)
    return app


def _live(request: Request) -> "LiveModel":
    live: LiveModel = request.app.state.live
    return live


def _json(document: BaseModel, status: int = 200) -> Response:
    """By pydantic: FastAPI would validate the answer again."""
    return Response(document.model_dump_json(), status, media_type="application/json")


def _add_predict(app: FastAPI, use_case: UseCase, source: type[FeatureSource]) -> None:
    content = {"application/json": {"example": whole_example(use_case)}}
    success: dict[int | str, Any] = {200: {"content": content, "headers": KEPT_HEADER}}
    problems = openapi.responses(
        PREDICT,
        *(*source.problems, *use_case.target.problems, NotReady, LedgerFull, *EXPLAINING, *BODY_STATUSES),
        shown=examples(use_case),
    )
    payload = payload_type(use_case)
    app.state.predict = Predict(app.state, payload)
    add_endpoint(
        app,
        PREDICT,
        app.state.predict,
        payload=payload,
        name="predict",
        summary=use_case.title,
        description="Reads the features, checks whether the model may use them, and predicts.",
        response_model=prediction_type(use_case, source.evidence),
        responses=success | problems,
    )


def _add_batch(app: FastAPI, use_case: UseCase, source: type[FeatureSource]) -> None:
    success: dict[int | str, Any] = {200: description.success(use_case)}
    app.state.predict_batch = PredictBatch(app.state, use_case.request)
    add_endpoint(
        app,
        BATCH,
        app.state.predict_batch,
        payload=description.batch_type(use_case),
        name="predict_batch",
        summary=f"{use_case.title}, many at once",
        description="An answer or a problem for each instance, in their order, streamed as JSON or Arrow IPC.",
        response_model=description.answers_type(use_case, source.evidence),
        responses=success | description.problems(BATCH, use_case, source),
    )


def _add_outcomes(app: FastAPI, use_case: UseCase) -> None:
    app.state.post_outcomes = PostOutcomes(app.state)
    add_endpoint(
        app,
        OUTCOMES,
        app.state.post_outcomes,
        payload=outcomes.outcomes_type(use_case),
        name="post_outcomes",
        summary="Report what came of predictions",
        description="Adds each outcome to the ledger, or says why not. Sent again, it is unchanged.",
        response_model=outcomes.OutcomesAnswer,
        responses=outcomes.responses(OUTCOMES, use_case),
    )


def add_endpoint(app: FastAPI, path: str, endpoint: ASGIApp, *, payload: type[BaseModel], **described: Any) -> None:
    """POST to an endpoint in plain ASGI, which FastAPI only describes."""

    async def described_by(body: payload) -> None:  # type: ignore[valid-type]
        pass

    route = APIRoute(path, described_by, methods=["POST"], **described)
    route.app = endpoint
    app.router.routes.append(route)


async def _page(title: str) -> Response:
    """Swagger UI from BentoML's static files, without another server."""
    return get_swagger_ui_html(
        openapi_url="docs.json",
        title=title,
        swagger_js_url=f"{STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{STATIC}/favicon-light-32x32.png",
    )


async def _model(request: Request) -> Response:
    """Name, version and run of the model, its training set and features.

    Where there is no model yet, the problem has the member `following`, too.
    """
    live, follower = _live(request), getattr(request.app.state, "follower", None)
    following = following_answer(follower.state, live.since if live.predictor else None) if follower else None
    if live.predictor is None:
        raise live.not_ready(following=following)
    beside: Shadow | None = getattr(request.app.state, "shadow", None)
    shadow = shadow_answer(await asyncio.to_thread(lambda: beside.state)) if beside else None
    return _json(model_answer(live.predictor.model, live.predictor.lineage, following, shadow))


async def _health(request: Request) -> Response:
    """Reads from the online store, if the model needs it; 503 where no prediction can be made."""
    live = _live(request)
    settings, lineage = live.worker.settings, live.lineage
    status = 200 if live.ready else 503
    try:
        store = await live.current.check()
    except NotReady:
        store = "not asked: there is no model yet"
    except FeatureStoreUnavailable as error:
        store, status = str(error), 503
    health = Health(
        status="ok" if status == 200 else "unavailable",
        feature_store=store,
        model=lineage.name,
        version=lineage.version,
        bento=lineage.bento,
        clock=settings.now(),
        replaying=settings.clock is not None,
    )
    return _json(health, status)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AsOfError | HTTPException)  # noqa: S101 - Starlette declares any exception
    return problem_response(*explain(error, request.scope))


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return await _on_error(request, invalid_request(error.errors()))
