"""RowForm: the columns that a use case's requests have, for protocols that send columns or positions, not objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from asof.serving.http.problems import invalid_request

DATATYPES = {"string": "BYTES", "integer": "INT64", "number": "FP64", "boolean": "BOOL"}
"""JSON Schema's types as those of the Open Inference Protocol."""
ANY_SIZE = -1
Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column: its datatype, and the shape of one row: empty, or a number of elements (-1: any).

    `inside` is the member of the payload that has it; None: it is a member of the payload itself.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    required: bool
    inside: str | None = None


@dataclass(frozen=True)
class RowForm:
    """The columns of a payload by name: its members, and those of a member that is an object of named values."""

    columns: Mapping[str, Column]

    @cached_property
    def required(self) -> frozenset[str]:
        return frozenset(name for name, column in self.columns.items() if column.required)

    def check_names(self, names: Sequence[str]) -> None:
        """Raises InvalidRequest for a column that is unknown or missing, as the payload itself would."""
        if self.required == {*names}:
            return
        errors = [
            _error("extra_forbidden", name, "Extra inputs are not permitted")
            for name in names
            if name not in self.columns
        ]
        errors += [_error("missing", name, "Field required") for name in sorted(self.required.difference(names))]
        if errors:
            raise invalid_request(errors)

    def payload(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row of named columns as POST /predict takes it; unknown names stay, to be refused there."""
        payload: dict[str, Any] = {}
        for name, value in row.items():
            column = self.columns.get(name)
            if column is None or column.inside is None:
                payload[name] = value
            else:
                payload.setdefault(column.inside, {})[name] = value
        return payload

    def of_position(self, row: Any) -> Any:
        """A row without names: the required columns in their order, or the one column of lists.

        What fits neither is returned as it is, to be refused as a payload.
        """
        values = row if isinstance(row, list) else [row]
        if self.required and len(values) == len(self.required):
            names = [name for name in self.columns if name in self.required]
            return self.payload(dict(zip(names, values, strict=True)))
        lists = [name for name, column in self.columns.items() if column.shape]
        return {lists[0]: values} if len(lists) == 1 and not self.required else row


def row_form(payload: type[BaseModel]) -> RowForm:
    """The form of a use case's request."""
    schema = payload.model_json_schema()
    own = {name: _resolved(each, schema) for name, each in schema.get("properties", {}).items()}
    required = set(schema.get("required", ()))
    columns = [_column(name, each, name in required) for name, each in own.items()]
    inner = [
        _column(name, _resolved(each, schema), required=False, inside=outer)
        for outer, outer_schema in own.items()
        for name, each in outer_schema.get("properties", {}).items()
        if name not in own
    ]
    return RowForm({column.name: column for column in (*columns, *inner) if column})


def _column(name: str, schema: Schema, required: bool, inside: str | None = None) -> Column | None:
    """None for what is neither a value nor a list of values."""
    kind = schema.get("type")
    if kind == "array":
        least, most = schema.get("minItems"), schema.get("maxItems")
        size = most if most is not None and least == most else ANY_SIZE
        datatype = DATATYPES.get(schema.get("items", {}).get("type", ""))
        return Column(name, datatype, (size,), required, inside) if datatype else None
    datatype = DATATYPES.get(kind) if isinstance(kind, str) else None
    return Column(name, datatype, (), required, inside) if datatype else None


def _resolved(schema: Schema, whole: Schema) -> Schema:
    """Without a reference, and without an alternative that is null."""
    for each in schema.get("anyOf", ()):
        if each.get("type") != "null":
            return _resolved(each, whole)
    if reference := schema.get("$ref"):
        target: Schema = whole["$defs"][reference.rpartition("/")[2]]
        return target
    return schema


def _error(kind: str, name: str, rule: str) -> Mapping[str, Any]:
    return {"type": kind, "loc": ("body", name), "msg": rule}
