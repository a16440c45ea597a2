"""ArrowFormat: an Arrow IPC stream with a row for each instance and a record batch for each chunk.

The columns are the members of the use case's answer and of its evidence (null where the instance has a problem);
`code`, `status` and `detail` of the problem, and its other members as JSON in `problem`; in `kept`, how the ledger
keeps the answer; and in `model`, as JSON, the identity of a model other than that in the schema's metadata.
"""

import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel
from pydantic_core import to_json

from asof.serving.batch.outcomes import ARROW, Item
from asof.serving.features.evidence import Evidence
from asof.serving.prediction.predictor import Predictor

MODEL, REQUEST_ID = b"asof.model", b"asof.request_id"
"""Keys of the schema's metadata: the model's identity as JSON, and the request's id."""
SCALARS = {str: pa.string(), float: pa.float64(), bool: pa.bool_(), int: pa.int64()}
MOMENT = pa.timestamp("us", tz="UTC")
PROBLEM = {"code": pa.string(), "status": pa.int16(), "detail": pa.string()}
AS_TEXT = ("kept", "problem", "model")


class ArrowFormat:
    media_type = ARROW

    def __init__(self, predictor: Predictor, request_id: str) -> None:
        model = to_json(predictor.identity)
        self._types = _types(predictor)
        self._schema = pa.schema(self._types, metadata={MODEL: model, REQUEST_ID: request_id.encode()})
        self._sink = io.BytesIO()
        self._writer: Any = None

    def head(self) -> bytes:
        self._writer = pa.ipc.new_stream(self._sink, self._schema)
        return self._take_written()

    def chunk(self, items: Sequence[Item]) -> bytes:
        columns = [_column(name, dtype, items) for name, dtype in self._types.items()]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        return self._take_written()

    def tail(self) -> bytes:
        self._writer.close()
        return self._take_written()

    def _take_written(self) -> bytes:
        written = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return written


def _types(predictor: Predictor) -> dict[str, Any]:
    members = predictor.use_case.answer.model_fields.items()
    answer = {field.alias or name: _type(field.annotation) for name, field in members}
    contract = predictor.model.facts.contract
    keys = {"as_of": contract.views, "as_of_features": contract.stored.names}
    moments = {name: pa.struct([(key, MOMENT) for key in each]) for name, each in keys.items()}
    evidence = {
        name: moments[name] if name in moments else _type(field.annotation)
        for name, field in predictor.features.evidence.model_fields.items()
        if name not in Evidence.model_fields
    }
    return answer | evidence | PROBLEM | dict.fromkeys(AS_TEXT, pa.string())


def _type(annotation: Any) -> Any:
    """The Arrow type of a member of an answer. Raises TypeError for an unsupported one."""
    if get_origin(annotation) in (Union, UnionType):
        annotation, *others = (each for each in get_args(annotation) if each is not type(None))
        if others:  # a row has the members of its own kind of object
            return pa.struct(list(pa.unify_schemas([pa.schema(_type(each)) for each in (annotation, *others)])))
    if get_origin(annotation) is list:
        return pa.list_(_type(get_args(annotation)[0]))
    if annotation in SCALARS:
        return SCALARS[annotation]
    if issubclass(annotation, Enum):
        return pa.string()
    if issubclass(annotation, datetime):
        return MOMENT
    if issubclass(annotation, BaseModel):
        fields = annotation.model_fields.items()
        return pa.struct([(field.alias or name, _type(field.annotation)) for name, field in fields])
    raise TypeError(f"No Arrow type is defined for {annotation!r}: add it to asof/serving/batch/arrow_format.py.")


def _column(name: str, dtype: Any, items: Sequence[Item]) -> Any:
    if name in PROBLEM:
        return pa.array([item["problem"][name] if "problem" in item else None for item in items], dtype)
    if name == "problem":
        return pa.array([_other_members(item["problem"]) if "problem" in item else None for item in items], dtype)
    if name == "model":
        return pa.array([to_json(item[name]).decode() if name in item else None for item in items], dtype)
    return _shared([item.get(name) for item in items], dtype)


def _other_members(problem: Mapping[str, Any]) -> str:
    return to_json({name: value for name, value in problem.items() if name not in PROBLEM}).decode()


def _shared(values: Sequence[Any], dtype: Any) -> Any:
    """A column of values; an object that many items share is converted once."""
    if not pa.types.is_struct(dtype):
        return pa.array(values, dtype)
    distinct = {id(value): value for value in values}
    index = {key: position for position, key in enumerate(distinct)}
    return pa.array(list(distinct.values()), dtype).take(pa.array([index[id(value)] for value in values], pa.int32()))
