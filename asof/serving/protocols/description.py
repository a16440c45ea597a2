"""The responses of the protocols, for the OpenAPI document."""

from typing import Any

from pydantic import BaseModel, Field, create_model

from asof import __version__
from asof.errors import InvalidRequest, LedgerFull, ModelNotFound, NotReady, Overloaded, TooManyInstances
from asof.serving.batch.description import answers_type
from asof.serving.http import openapi
from asof.serving.http.examples import examples
from asof.serving.http.problems import BODY_STATUSES
from asof.serving.prediction.predictor import FeatureSource
from asof.use_case import UseCase


class TensorMetadata(BaseModel):
    """A tensor of the model; a dimension of -1 has any length."""

    name: str
    datatype: str = Field(examples=["BYTES"])
    shape: list[int] = Field(examples=[[-1]])


class ModelMetadata(BaseModel):
    """The served model."""

    name: str
    versions: list[str] = Field(description="Its version in the registry, if it has one.", examples=[["3"]])
    platform: str = Field(description="What computes its predictions.", examples=["onnx"])
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """This server."""

    name: str = "asof"
    version: str = __version__
    extensions: list[str] = Field(default_factory=list)


class Live(BaseModel):
    live: bool = True


class Ready(BaseModel):
    ready: bool = True


class ModelReady(Ready):
    name: str


class OutputTensor(BaseModel):
    """One output, a row after the other; "NaN" or an empty text in a row that has a problem."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float | str]


class InferResponse(BaseModel):
    """The outputs of all rows; `parameters` have the model's lineage."""

    model_name: str
    model_version: str | None = Field(None, description="Absent: it is not registered.", examples=["3"])
    id: str = Field(description="The request's, or that of the header X-Request-ID.")
    parameters: dict[str, str]
    outputs: list[OutputTensor]


def predictions_type(use_case: UseCase, source: type[FeatureSource]) -> type[BaseModel]:
    """The response of POST /invocations: that of POST /predict/batch."""
    answers = answers_type(use_case, source.evidence)
    return create_model(f"{use_case.answer.__name__}Predictions", __base__=answers)


def problems(path: str, use_case: UseCase, source: type[FeatureSource], *more: Any) -> dict[int | str, dict[str, Any]]:
    """The responses with a problem: of a single row those of POST /predict, of several those of the batch."""
    single = (*source.problems, *use_case.target.problems, NotReady, LedgerFull, *BODY_STATUSES)
    kinds = dict.fromkeys((*single, InvalidRequest, TooManyInstances, Overloaded, *more))
    return openapi.responses(path, *kinds, shown=examples(use_case))


def model_problems(path: str, use_case: UseCase) -> dict[int | str, dict[str, Any]]:
    """Those of a look at the model."""
    return openapi.responses(path, ModelNotFound, NotReady, shown=examples(use_case))


def path_parameters(path: str, use_case: UseCase) -> dict[str, Any]:
    """The parameters in a path, which FastAPI does not know: the endpoints read them from the request."""
    schemas = {
        "name": {"type": "string", "enum": [use_case.model_name]},
        "version": {"type": "string", "pattern": "^[1-9][0-9]*$", "description": "The served one, of GET /model."},
    }
    given = [name for name in schemas if f"{{{name}}}" in path]
    return {"parameters": [{"name": name, "in": "path", "required": True, "schema": schemas[name]} for name in given]}
