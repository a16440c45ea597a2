"""The request and response types of POST /predict/batch, for the OpenAPI document."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from asof.errors import EntityNotFound, InvalidRequest, NotReady, Overloaded, TooManyInstances
from asof.serving.batch.instances import MAX_INSTANCES
from asof.serving.batch.outcomes import ARROW
from asof.serving.features.evidence import Evidence, ModelIdentity, prediction_example
from asof.serving.features.store_input import STORE, StoreInput
from asof.serving.http import openapi
from asof.serving.http.examples import examples
from asof.serving.http.problems import BODY_STATUSES
from asof.serving.http.strict_json import JSON
from asof.serving.ledger.keeper import Kept
from asof.serving.prediction.predictor import FeatureSource
from asof.use_case import FromStore, UseCase


class InstanceProblem(BaseModel):
    """What POST /predict says of the same instance, without what is common; a kind may add members of its own."""

    model_config = ConfigDict(extra="allow")

    status: int = Field(description="The status that POST /predict would have.")
    detail: str = Field(description="What happened, and the next step.")
    code: str = Field(description="The kind of problem in one word, for programs.")
    errors: list[dict[str, str]] | None = Field(
        None, description="invalid-request: each place in the instance, as `body`, and the rule it breaks."
    )


KEPT: Any = Field(description="How the ledger keeps this answer: disk, process or none.")


class Refused(BaseModel):
    """An instance that has no answer."""

    problem: InstanceProblem
    kept: Kept = KEPT


def batch_type(use_case: UseCase) -> type[BaseModel]:
    """The request: an instance may be any JSON value, and is answered by itself."""
    other = Annotated[Any, Field(description="Anything else gets a problem of its own.")]
    instances: Any = list[use_case.request | other]  # type: ignore[name-defined]
    field = Field(min_length=1, description=f"Each as POST /predict takes it; at most {MAX_INSTANCES} (413).")
    config = ConfigDict(extra="forbid")
    return create_model(f"{use_case.request.__name__}Batch", __config__=config, instances=(instances, field))


def answers_type(use_case: UseCase, evidence: type[Evidence]) -> type[BaseModel]:
    """The response in JSON."""
    rest = {name: (field.annotation, field) for name, field in evidence.model_fields.items()}
    rest = {name: each for name, each in rest.items() if name not in Evidence.model_fields}
    model = (ModelIdentity | None, Field(None, description="Who answered, where it is not the batch's model."))
    name = use_case.answer.__name__
    members: Any = {"model": model, **rest, "kept": (Kept, KEPT)}
    item = create_model(f"{name}Item", __base__=use_case.answer, **members)
    items: Any = list[item | Refused]
    predictions: Any = (items, Field(description="In the order of the instances."))
    return create_model(f"{name}Batch", __base__=Evidence, predictions=predictions)


def success(use_case: UseCase) -> dict[str, Any]:
    """The description of the response with status 200."""
    item = prediction_example(use_case)
    common = {name: item.pop(name) for name in Evidence.model_fields}
    kept = {"kept": Kept.PROCESS}
    example = common | {"predictions": [item | kept, {"problem": _problem_example(use_case)} | kept]}
    row = "One row for each instance: the answer's members, code, status, detail."
    stream = {"schema": {"type": "string", "format": "binary"}, "example": row}
    return {"content": {JSON: {"example": example}, ARROW: stream}}


def _problem_example(use_case: UseCase) -> dict[str, Any]:
    error = EntityNotFound if isinstance(use_case.source, FromStore) else InvalidRequest
    document = openapi.problem_example(error, use_case)
    return document.model_dump(exclude_none=True, include={"status", "detail", "code", "errors", "entity"})


def problems(path: str, use_case: UseCase, source: type[FeatureSource]) -> dict[int | str, dict[str, Any]]:
    """The responses with a problem of the whole batch."""
    store = STORE if issubclass(source, StoreInput) else ()
    errors = (InvalidRequest, TooManyInstances, Overloaded, NotReady, *store, *BODY_STATUSES)
    return openapi.responses(path, *errors, shown=examples(use_case))
