"""MLflow's scoring protocol: the body of POST /invocations -> rows, and their answers -> `{"predictions": [...]}`.

https://mlflow.org/docs/latest/deployment/deploy-model-locally.html, "Inference Server Specification".
"""

import csv
import io
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictStr, model_validator
from pydantic_core import PydanticCustomError
from starlette.types import Scope

from asof.serving.batch.answer_formats import JsonFormat
from asof.serving.batch.instances import check_count, check_delimiters
from asof.serving.batch.outcomes import item
from asof.serving.http.problems import invalid_request
from asof.serving.http.strict_json import JSON, media_type, parse
from asof.serving.protocols.endpoint import Question
from asof.serving.protocols.row_form import RowForm

CSV = "text/csv"
FORMATS = {
    "dataframe_split": ("object",),
    "dataframe_records": ("array",),
    "instances": ("array",),
    "inputs": ("array", "object"),
}
"""The members with rows, and their types in JSON."""
ROWS: dict[str, Any] = {"minItems": 1}
"""Of the description: a body without rows has an error of its own."""
MLFLOW_VERSION = "3.17.2"
"""The answer of GET /version: the MLflow whose protocol this is."""


class SplitFrame(BaseModel):
    """A data frame as pandas' `to_dict(orient="split")`."""

    model_config = ConfigDict(extra="forbid")

    columns: list[StrictStr]
    data: list[list[Any]]
    index: list[Any] | None = Field(None, description="Not used.")


def _alternative(name: str) -> dict[str, Any]:
    """The schema of a body with rows in this member, and null or nothing in the others."""
    types = {other: {"type": "null"} for other in FORMATS} | {name: {"type": [*FORMATS[name]]}}
    return {"required": [name], "properties": types}


class Invocation(BaseModel):
    """Rows in exactly one of MLflow's four forms."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"oneOf": [_alternative(name) for name in FORMATS]})

    dataframe_split: SplitFrame | None = None
    dataframe_records: list[Any] | None = Field(None, description="One object for each row.", json_schema_extra=ROWS)
    instances: list[Any] | None = Field(
        None, description="One object for each row, or its values in order.", json_schema_extra=ROWS
    )
    inputs: list[Any] | dict[str, list[Any]] | None = Field(
        None, description="The same, or a list for each column.", json_schema_extra=ROWS | {"minProperties": 1}
    )
    params: Annotated[dict[str, Any], Field(max_length=0)] | None = Field(
        None, description="Empty: the model takes no parameters."
    )

    @model_validator(mode="after")
    def _one_form(self) -> "Invocation":
        if sum(getattr(self, name) is not None for name in FORMATS) != 1:
            raise PydanticCustomError("one_form", f"Give exactly one of {', '.join(FORMATS)}")
        return self


class ScoringForm:
    """The requests of POST /invocations."""

    kinds = (JSON, CSV)

    def __init__(self, form: RowForm) -> None:
        self._form = form

    def check(self, scope: Scope) -> None:
        pass

    def read(self, body: bytes, scope: Scope) -> Question:
        content_type = next(
            (value.decode("latin-1") for name, value in scope["headers"] if name == b"content-type"), ""
        )
        check_delimiters(body)
        rows = self._of_csv(body) if media_type(content_type) == CSV else self._of_json(parse(body, Invocation))
        if not rows:
            raise invalid_request([{"type": "empty", "loc": ("body",), "msg": "there are no rows"}])
        check_count(len(rows))
        return Question(rows, ScoringFormat, item)

    def _of_json(self, body: Invocation) -> Sequence[Any]:
        if body.dataframe_split is not None:
            return self._of_columns(body.dataframe_split.columns, body.dataframe_split.data, "dataframe_split.data")
        if isinstance(body.inputs, dict):
            names, columns = list(body.inputs), list(body.inputs.values())
            if len({len(each) for each in columns}) > 1:
                raise _error("inputs", "the columns must have the same length")
            return self._of_columns(names, list(zip(*columns, strict=True)), "inputs")
        rows = body.dataframe_records or body.instances or body.inputs or []
        return [self._form.payload(row) if isinstance(row, dict) else self._form.of_position(row) for row in rows]

    def _of_columns(self, names: Sequence[str], rows: Sequence[Sequence[Any]], place: str) -> Sequence[Any]:
        if len({*names}) < len(names):
            raise _error(place, "a column occurs twice")
        self._form.check_names(names)
        if (wrong := next((index for index, row in enumerate(rows) if len(row) != len(names)), None)) is not None:
            raise _error(f"{place}.{wrong}", f"the row must have {len(names)} values, one for each column")
        return [self._form.payload(dict(zip(names, row, strict=True))) for row in rows]

    def _of_csv(self, body: bytes) -> Sequence[Any]:
        try:
            names, *rows = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        except (UnicodeDecodeError, csv.Error, ValueError) as error:
            raise _error("csv", f"not a table in CSV with a header, in UTF-8: {error}") from error
        kept = [row for row in rows if row]
        return self._of_columns(names, [self._typed(names, row) for row in kept], "csv")

    def _typed(self, names: Sequence[str], row: Sequence[str]) -> Sequence[Any]:
        types = [self._form.columns[name].datatype if name in self._form.columns else "BYTES" for name in names]
        return [value_of(text, kind) for text, kind in zip(row, types, strict=False)] + list(row[len(types) :])


def value_of(text: str, datatype: str) -> Any:
    """The value of a cell in CSV; the text itself where it is none of that type, None where it is an empty number."""
    if datatype == "BYTES":
        return text
    if not text:
        return None
    if datatype == "BOOL":
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return int(text) if datatype == "INT64" or text.isdecimal() else float(text)
    except ValueError:
        return text


class ScoringFormat(JsonFormat):
    """One document with model, request_id and predictions: the items of POST /predict/batch."""


def _error(place: str, rule: str) -> Exception:
    return invalid_request([{"type": "invalid", "loc": ("body", place), "msg": rule}])
