"""An inference request of the Open Inference Protocol: its tensors -> rows, each as POST /predict takes it."""

from collections.abc import Mapping, Sequence
from itertools import chain
from math import prod
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from asof.errors import InvalidRequest
from asof.serving.batch.instances import check_count
from asof.serving.http.problems import invalid_request
from asof.serving.protocols.row_form import ANY_SIZE, RowForm

BINARY = (
    "The binary data extension is not supported: send the tensors' data as JSON, "
    "in tritonclient by set_data_from_numpy(..., binary_data=False)."
)
KINDS: Mapping[str, tuple[type, ...]] = {
    "BOOL": (bool,),
    "BYTES": (str,),
    **dict.fromkeys(("FP16", "FP32", "FP64"), (int, float)),
    **dict.fromkeys((f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)), (int,)),
}
"""The Python types of a datatype's elements in JSON."""

Parameters = dict[str, Any]


TOLERANT = ConfigDict(extra="ignore", strict=True)
"""Of unknown members: clients add members of their own, KServe's the model's name."""


def _sendable(text: str) -> str:
    """The text, which is sent back. Raises ValueError for one with a lone surrogate."""
    text.encode()
    return text


def _require_data(schema: dict[str, Any]) -> None:
    """Describes the data as required: only binary data, which get an error of their own, come without."""
    schema["required"].append("data")
    schema["properties"]["data"] = {
        "type": "array",
        "minItems": 1,
        "items": {},
        "description": "The elements in row-major order, flat or nested; as many as the shape has.",
    }


class InputTensor(BaseModel):
    """One input: a column of the request, of shape [n] or [n, 1]; a list of k values a row is [n, k]."""

    model_config = TOLERANT | ConfigDict(json_schema_extra=_require_data)

    name: str
    shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=2)]
    datatype: Annotated[str, Field(json_schema_extra={"enum": sorted(KINDS)})]
    parameters: Parameters = Field(default_factory=dict)
    data: list[Any] | None = None


class RequestedOutput(BaseModel):
    """The name of an output that is wanted."""

    model_config = TOLERANT

    name: str
    parameters: Parameters = Field(default_factory=dict)


class InferRequest(BaseModel):
    """Tensors of n rows; without `outputs` all are returned."""

    model_config = TOLERANT

    id: Annotated[str, Field(max_length=500), AfterValidator(_sendable)] | None = None
    parameters: Parameters = Field(default_factory=dict)
    inputs: Annotated[list[InputTensor], Field(min_length=1)]
    outputs: list[RequestedOutput] | None = None


def rows_of(inputs: Sequence[InputTensor], form: RowForm) -> list[dict[str, Any]]:
    """The rows of the tensors, each as POST /predict takes it. Raises InvalidRequest or TooManyInstances."""
    if any(each.data is None for each in inputs):
        raise HTTPException(415, BINARY) if _is_binary(inputs) else invalid("inputs", "a tensor has no data")
    names = [each.name for each in inputs]
    if len({*names}) < len(names):
        raise invalid("inputs", "a tensor occurs twice")
    form.check_names(names)
    if len({each.shape[0] for each in inputs}) > 1:
        raise invalid("inputs", "the tensors must have the same first dimension, the number of rows")
    check_count(inputs[0].shape[0])
    columns = [_column(each, form.columns[each.name].shape) for each in inputs]
    return [form.payload(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def _is_binary(inputs: Sequence[InputTensor]) -> bool:
    return any("binary_data_size" in each.parameters for each in inputs)


def _column(tensor: InputTensor, row_shape: tuple[int, ...]) -> Sequence[Any]:
    """One value or list for each row."""
    place, (count, *rest) = f"inputs.{tensor.name:.60}", tensor.shape
    size = rest[0] if rest else 1
    if row_shape and row_shape != (ANY_SIZE,) and size != row_shape[0]:
        raise invalid(place, f"the shape must be [rows, {row_shape[0]}]")
    if not row_shape and size != 1:
        raise invalid(place, "the shape must be [rows] or [rows, 1]")
    data = _flat(tensor.data or [], place)
    if len(data) != prod(tensor.shape):
        raise invalid(place, f"there are {len(data)} elements, and the shape has {prod(tensor.shape)}")
    _check_kind(data, tensor.datatype, place)
    return [data[start : start + size] for start in range(0, count * size, size)] if row_shape else data


def _flat(data: list[Any], place: str) -> list[Any]:
    """The elements of a flat list, or of one of lists of the same length."""
    nested = [isinstance(each, list) for each in data]
    if not any(nested):
        return data
    if not all(nested) or len({len(each) for each in data}) > 1:
        raise invalid(place, "the lists in the data must have the same length")
    return list(chain.from_iterable(data))


def _check_kind(data: Sequence[Any], datatype: str, place: str) -> None:
    kinds = KINDS.get(datatype)
    if kinds is None:
        raise invalid(place, f"the datatype {datatype!r:.40} is none of {', '.join(sorted(KINDS))}")
    if (wrong := next((index for index, each in enumerate(data) if type(each) not in kinds), None)) is not None:
        raise invalid(place, f"element {wrong} is no {datatype}")


def invalid(place: str, rule: str) -> InvalidRequest:
    return invalid_request([{"type": "invalid", "loc": ("body", place), "msg": rule}])
