"""ArrowForm: items -> an Arrow IPC stream, one row for each instance, a record batch for each chunk.

The columns are the members of the use case's answer and of its evidence, null where the instance has a problem, and
then `code`, `status` and `detail` of the problem, its other members as JSON under `problem`, and under `model` as JSON
the identity of the model where another one answered than the schema's metadata name.
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

from asof.serving.batch.answer_forms import ARROW
from asof.serving.batch.outcomes import Item
from asof.serving.features.evidence import Evidence
from asof.serving.prediction.predictor import Predictor, identity

MODEL, REQUEST_ID = b"asof.model", b"asof.request_id"
"""Of the schema's metadata: the model's identity as JSON, and the request's id."""
PLAIN = {str: pa.string(), float: pa.float64(), bool: pa.bool_(), int: pa.int64()}
MOMENT = pa.timestamp("us", tz="UTC")
PROBLEM = {"code": pa.string(), "status": pa.int16(), "detail": pa.string()}
AS_JSON = ("problem", "model")


class ArrowForm:
    """See above."""

    media_type = ARROW

    def __init__(self, predictor: Predictor, request_id: str) -> None:
        told = to_json(identity(predictor.model, predictor.lineage))
        self._types = _types(predictor)
        self._schema = pa.schema(self._types, metadata={MODEL: told, REQUEST_ID: request_id.encode()})
        self._sink = io.BytesIO()
        self._writer: Any = None

    def head(self) -> bytes:
        self._writer = pa.ipc.new_stream(self._sink, self._schema)
        return self._written()

    def piece(self, items: Sequence[Item]) -> bytes:
        columns = [_column(name, kind, items) for name, kind in self._types.items()]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        return self._written()

    def tail(self) -> bytes:
        self._writer.close()
        return self._written()

    def _written(self) -> bytes:
        written = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return written


def _types(predictor: Predictor) -> dict[str, Any]:
    own = {name: _type(field.annotation) for name, field in predictor.use_case.answer.model_fields.items()}
    evidence = predictor.features.evidence.model_fields
    rest = {name: field.annotation for name, field in evidence.items() if name not in Evidence.model_fields}
    contract = predictor.model.facts.contract
    keys = {"as_of": contract.views, "as_of_features": contract.names}
    moments = {name: pa.struct([(key, MOMENT) for key in each]) for name, each in keys.items()}
    told = {name: moments[name] if name in moments else _type(kind) for name, kind in rest.items()}
    return own | told | PROBLEM | dict.fromkeys(AS_JSON, pa.string())


def _type(annotation: Any) -> Any:
    """Arrow's type of a member of an answer. Raises TypeError for one that has none here."""
    if get_origin(annotation) in (Union, UnionType):
        annotation, *others = (each for each in get_args(annotation) if each is not type(None))
        if others:  # of several kinds of object each row has the members of its own
            return pa.struct(list(pa.unify_schemas([pa.schema(_type(each)) for each in (annotation, *others)])))
    if get_origin(annotation) is list:
        return pa.list_(_type(get_args(annotation)[0]))
    if annotation in PLAIN:
        return PLAIN[annotation]
    if issubclass(annotation, Enum):
        return pa.string()
    if issubclass(annotation, datetime):
        return MOMENT
    if issubclass(annotation, BaseModel):
        fields = annotation.model_fields.items()
        return pa.struct([(field.alias or name, _type(field.annotation)) for name, field in fields])
    raise TypeError(f"No type of Arrow is known for {annotation!r}: add it to asof/serving/batch/arrow_answer.py.")


def _column(name: str, kind: Any, items: Sequence[Item]) -> Any:
    if name in PROBLEM:
        return pa.array([item["problem"][name] if "problem" in item else None for item in items], kind)
    if name == "problem":
        return pa.array([_rest(item["problem"]) if "problem" in item else None for item in items], kind)
    if name == "model":
        return pa.array([to_json(item[name]).decode() if name in item else None for item in items], kind)
    return _shared([item.get(name) for item in items], kind)


def _rest(problem: Mapping[str, Any]) -> str:
    return to_json({name: value for name, value in problem.items() if name not in PROBLEM}).decode()


def _shared(values: Sequence[Any], kind: Any) -> Any:
    """A column of values; those that many items share are turned into Arrow's once."""
    if not pa.types.is_struct(kind):
        return pa.array(values, kind)
    places: dict[int, int] = {}
    distinct: list[Any] = []
    for value in values:
        if id(value) not in places:
            places[id(value)] = len(distinct)
            distinct.append(value)
    return pa.array(distinct, kind).take(pa.array([places[id(value)] for value in values], pa.int32()))
