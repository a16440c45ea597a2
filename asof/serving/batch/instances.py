"""A batch's body -> its instances: each a valid payload of the use case, or the error that refuses it."""

from collections.abc import Sequence, Set
from functools import cache
from itertools import chain
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

from asof.errors import InvalidRequest, TooManyInstances
from asof.serving.features.options import OPTIONS
from asof.serving.http.problems import invalid_request
from asof.serving.http.strict_json import parse, validated

MAX_INSTANCES = 10_000
MAX_BODY_BYTES = 16 * 2**20
"""Ten thousand instances of thirty named numbers are 12 MB of JSON."""
MAX_DELIMITERS = 100 * MAX_INSTANCES
"""Commas and opening brackets of a body: small values take many times their text in memory, and parsing a long list of
them blocks all threads."""

Instance = BaseModel | InvalidRequest


class BatchDocument(BaseModel):
    """The form of every batch; the instances are validated one by one."""

    model_config = ConfigDict(extra="forbid")

    instances: list[Any] = Field(min_length=1)


def instances(body: bytes, payload: type[BaseModel]) -> list[Instance]:
    """The instances, in order. Blocks: call it in a thread. Raises as `read_list` does."""
    return checked(read_list(body, BatchDocument, "instances"), payload)


def checked(rows: Sequence[Any], payload: type[BaseModel]) -> list[Instance]:
    """The instances of parsed JSON, in order; validated by one call where all are valid. Blocks."""
    options = {*OPTIONS} - {*payload.model_fields}
    try:
        if options.isdisjoint(chain.from_iterable(each for each in rows if isinstance(each, dict))):
            return _instances(payload).validate_python(rows, from_attributes=True)
    except ValidationError:
        pass  # each finding belongs to its instance
    return [_instance(each, payload, options) for each in rows]


def read_list(body: bytes, document: type[BaseModel], member: str) -> list[Any]:
    """The elements of the document's only member, a list, each as parsed from JSON. Blocks.

    Raises InvalidRequest where the body is no such document, and as `check_delimiters` and `check_count` do.
    """
    check_delimiters(body, member)
    data: list[Any] = getattr(parse(body, document), member)
    check_count(len(data), member)
    return data


def check_delimiters(body: bytes, what: str = "rows") -> None:
    """Raises HTTPException 413 for more than MAX_DELIMITERS."""
    if len(body) <= MAX_DELIMITERS:
        return
    if (delimiters := sum(map(body.count, (b",", b"[", b"{")))) > MAX_DELIMITERS:
        rule = f"The body has {delimiters} commas and brackets; at most {MAX_DELIMITERS} are allowed"
        raise HTTPException(413, f"{rule}. Send at most {MAX_INSTANCES} {what} at once.")


def check_count(count: int, what: str = "rows") -> None:
    """Raises TooManyInstances for more than MAX_INSTANCES."""
    if count > MAX_INSTANCES:
        text = f"The batch holds {count} {what}: send at most {MAX_INSTANCES} at once."
        raise TooManyInstances(text, limit=MAX_INSTANCES, instances=count)


@cache
def _instances(payload: type[BaseModel]) -> TypeAdapter[list[Instance]]:
    return TypeAdapter(list[payload])  # type: ignore[valid-type]


def _refuse_options(data: Any, options: Set[str]) -> None:
    """Raises InvalidRequest for an instance with the options of POST /predict, which the payload might ignore."""
    if isinstance(data, dict) and (given := sorted(options & data.keys())):
        raise invalid_request({"type": "option", "loc": ("body", each), "msg": "use POST /predict"} for each in given)


def _instance(data: Any, payload: type[BaseModel], options: Set[str]) -> Instance:
    try:
        _refuse_options(data, options)
        return validated(data, payload)
    except InvalidRequest as error:
        error.__cause__ = error.__context__ = None  # these and the traceback would keep all of pydantic's errors alive
        return error.with_traceback(None)
