"""Adds the protocols to an app: endpoints in plain ASGI, which FastAPI describes, metadata and probes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp

from asof.errors import ModelNotFound, NotReady, ServingError
from asof.serving.api.routes import add_endpoint
from asof.serving.http import openapi
from asof.serving.prediction.predictor import input_type
from asof.serving.protocols import description
from asof.serving.protocols.endpoint import Endpoint
from asof.serving.protocols.infer import INFER, InferForm, require_name, require_version
from asof.serving.protocols.infer_request import InferRequest
from asof.serving.protocols.infer_response import TEXTS
from asof.serving.protocols.mlflow_scoring import MLFLOW_VERSION, Invocation, ScoringForm
from asof.serving.protocols.row_form import RowForm, row_form
from asof.targets.tensors import tensors
from asof.use_case import UseCase

if TYPE_CHECKING:
    from asof.serving.prediction.live import LiveModel

INVOCATIONS = "/invocations"
MODEL = "/v2/models/{name}"
VERSION = MODEL + "/versions/{version}"

Lane = Callable[[str], ASGIApp | None]
"""The endpoint of a path, if it has one."""


def add_protocols(app: FastAPI, use_case: UseCase) -> Lane:
    """Adds them to the app of `create_app`; returns their lane."""
    form = row_form(use_case.request)
    infer = _add_open_inference(app, use_case, form)
    invocations = _add_mlflow(app, use_case, form)

    def lane(path: str) -> ASGIApp | None:
        if path == INVOCATIONS:
            return invocations
        return infer if INFER.fullmatch(path) else None

    return lane


def _add_open_inference(app: FastAPI, use_case: UseCase, form: RowForm) -> ASGIApp:
    infer_form = InferForm(use_case.model_name, form, use_case.target)
    endpoint = Endpoint(app.state, use_case.request, infer_form, thread=app.state.predict_batch.thread)
    for path, suffix in ((MODEL, ""), (VERSION, "_version")):
        add_endpoint(
            app,
            f"{path}/infer",
            endpoint,
            payload=InferRequest,
            name=f"infer{suffix}",
            openapi_extra=description.path_parameters(path, use_case),
            summary="Open Inference Protocol: predict",
            description="The columns of a request as tensors in JSON. A single row has the status of its problem.",
            response_model=description.InferResponse,
            response_model_exclude_none=True,
            responses=description.problems(f"{path}/infer", use_case, input_type(use_case), ModelNotFound),
        )
        _add_model(app, use_case, form, path=path, suffix=suffix)
    for path in ("/v2", "/v2/"):
        _add_get(app, path, _server, description.ServerMetadata, "Open Inference Protocol: the server")
    _add_get(app, "/v2/health/live", _live, description.Live, "Open Inference Protocol: is the process alive?")
    ready = openapi.responses("/v2/health/ready", NotReady)
    _add_get(app, "/v2/health/ready", _ready, description.Ready, "Open Inference Protocol: can it predict now?", ready)
    return endpoint


def _add_model(app: FastAPI, use_case: UseCase, form: RowForm, *, path: str, suffix: str) -> None:
    async def model(request: Request) -> Response:
        """The inputs and outputs of the served model."""
        _require_asked(request, use_case)
        predictor = _service(request).current
        version = predictor.lineage.version
        answer = description.ModelMetadata(
            name=use_case.model_name,
            versions=[version] if version else [],
            platform=predictor.model.runtime.name,
            inputs=inputs,
            outputs=outputs,
        )
        return _json(answer)

    async def model_ready(request: Request) -> Response:
        """Whether the model can predict now; 503 where it cannot."""
        _require_asked(request, use_case)
        await _check(request)
        return _json(description.ModelReady(name=use_case.model_name))

    inputs = [_metadata(each.name, each.datatype, each.shape) for each in form.columns.values()]
    outputs = [_metadata(each.name, each.datatype, each.shape) for each in (*tensors(use_case.target), *TEXTS)]
    for end, function, answer, summary in (
        ("", model, description.ModelMetadata, "Open Inference Protocol: the model"),
        ("/ready", model_ready, description.ModelReady, "Open Inference Protocol: can the model predict now?"),
    ):
        app.add_api_route(
            path + end,
            function,
            summary=summary,
            response_model=answer,
            responses=description.model_problems(path + end, use_case),
            name=f"{function.__name__}{suffix}",
            openapi_extra=description.path_parameters(path, use_case),
        )


def _add_mlflow(app: FastAPI, use_case: UseCase, form: RowForm) -> ASGIApp:
    scoring = ScoringForm(form)
    endpoint = Endpoint(app.state, use_case.request, scoring, thread=app.state.predict_batch.thread)
    source = input_type(use_case)
    add_endpoint(
        app,
        INVOCATIONS,
        endpoint,
        payload=Invocation,
        name="invocations",
        summary="MLflow's scoring server: predict",
        description="Rows in one of MLflow's forms of JSON, or in CSV. A single row has the status of its problem.",
        response_model=description.predictions_type(use_case, source),
        responses=description.problems(INVOCATIONS, use_case, source),
    )
    unready = openapi.responses("/ping", NotReady)
    app.add_api_route(
        "/ping",
        _ping,
        summary="MLflow's scoring server: can it predict now?",
        responses=unready,
        response_class=PlainTextResponse,
    )
    app.add_api_route(
        "/version", _version, summary="MLflow's scoring server: the version of MLflow", response_class=PlainTextResponse
    )
    return endpoint


def _add_get(
    app: FastAPI,
    path: str,
    function: Callable[..., Any],
    answer: type[BaseModel],
    summary: str,
    problems: dict[int | str, dict[str, Any]] | None = None,
) -> None:
    app.add_api_route(path, function, summary=summary, response_model=answer, responses=problems)


def _service(request: Request) -> "LiveModel":
    live: LiveModel = request.app.state.live
    return live


def _require_asked(request: Request, use_case: UseCase) -> None:
    """Raises ModelNotFound unless the path names the served model and version, and NotReady."""
    require_name(request.path_params["name"], use_case.model_name)
    require_version(request.path_params.get("version"), _service(request).select().predictor.lineage)


async def _check(request: Request) -> None:
    """Raises NotReady where no prediction can be made now."""
    try:
        await _service(request).select().predictor.check()
    except ServingError as error:
        raise NotReady(str(error), **error.extra) from error


async def _server() -> Response:
    """Name and version of the server; it has no extensions."""
    return _json(description.ServerMetadata())


async def _live() -> Response:
    """The process answers."""
    return _json(description.Live())


async def _ready(request: Request) -> Response:
    """As /readyz."""
    await _check(request)
    return _json(description.Ready())


async def _ping(request: Request) -> Response:
    """As /readyz."""
    await _check(request)
    return PlainTextResponse("\n")


async def _version() -> Response:
    """The version of MLflow whose protocol this is."""
    return PlainTextResponse(MLFLOW_VERSION)


def _metadata(name: str, datatype: str, shape: tuple[int, ...]) -> description.TensorMetadata:
    return description.TensorMetadata(name=name, datatype=datatype, shape=[-1, *shape])


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")
