"""Features in a request: one of them, and those that a use case takes from the request beside stored ones."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

from pydantic import BaseModel

from asof.errors import ConfigurationError, InvalidRequest
from asof.extracts.schema import Kind, RawTable
from asof.features.feature_contract import Feature


@dataclass(frozen=True)
class RequestFeature:
    """One feature of a request: its name, its value, and its place in the body, such as `features.3`."""

    name: str
    value: Any
    place: str


GIVEN_TYPES = {
    Kind.TEXT: ("String", ("string",)),
    Kind.INTEGER: ("Int64", ("integer",)),
    Kind.NUMBER: ("Float64", ("number", "integer")),
    Kind.BOOLEAN: ("Bool", ("boolean",)),
}
"""For each kind of a given column its Feast type, and the JSON types that a payload's member may have."""


@dataclass(frozen=True)
class Given:
    """Features that the caller gives with each request: required members of the payload, named as the columns.

    `columns` of the raw table `table` hold their past values. Training and batch scoring take the row whose `as_of` is
    the moment itself, without regard to age. Raises ConfigurationError for a column that the table lacks, or a date.
    """

    table: RawTable
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        kinds = {column.name: column.kind for column in self.table.columns[1:]}
        if wrong := [name for name in self.columns if kinds.get(name) not in GIVEN_TYPES]:
            raise ConfigurationError(
                f"Given features {', '.join(wrong)}: raw table {self.table.name!r} has no such text, number or boolean."
            )

    @property
    def features(self) -> tuple[Feature, ...]:
        """The given features, in order."""
        kinds = {column.name: column.kind for column in self.table.columns}
        return tuple(Feature(name, "", GIVEN_TYPES[kinds[name]][0]) for name in self.columns)

    def values(self, request: BaseModel) -> list[RequestFeature]:
        """Those of a valid payload. Raises InvalidRequest for a number that is infinite or too large."""
        values = [RequestFeature(name, getattr(request, name), name) for name in self.columns]
        if wrong := [each for each in values if not isinstance(each.value, str) and not _is_finite(each.value)]:
            errors = [{"at": f"body.{each.place}", "rule": "must be a finite number"} for each in wrong]
            raise InvalidRequest("; ".join(f"{error['at']}: {error['rule']}" for error in errors), errors=errors)
        return values

    def check_payload(self, use_case: str, payload: type[BaseModel]) -> None:
        """Raises ConfigurationError where a member of the payload is absent, optional or of another type."""
        schema = payload.model_json_schema()
        kinds = {column.name: column.kind for column in self.table.columns}
        for name in self.columns:
            types = GIVEN_TYPES[kinds[name]][1]
            member = schema.get("properties", {}).get(name, {})
            if member.get("type") not in types or name not in schema.get("required", ()):
                raise ConfigurationError(
                    f"{payload.__name__} of use case {use_case!r} needs the required member {name!r} of the JSON type "
                    f"{types[0]}: it is a given feature."
                )


def _is_finite(value: float) -> bool:
    try:
        return isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False
