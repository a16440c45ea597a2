"""The body of a batch -> its instances: each a valid payload of the use case, or the refusal that it gets by itself."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope

from asof.errors import InvalidRequest
from asof.serving.batch.limits import MOST, MOST_BYTES, too_many
from asof.serving.http import strict_json
from asof.serving.http.strict_json import validated

MOST_MARKS = 100 * MOST
"""Commas and opening brackets of a body. Small values are many times their text in memory, and no other thread
runs while a long list of them is read."""
PATIENCE = 15.0
"""Seconds for a body to arrive; a worker that ends waits as long for whoever is still sending."""

Instance = BaseModel | InvalidRequest


class Document(BaseModel):
    """What every batch is; its instances are looked at one by one."""

    model_config = ConfigDict(extra="forbid")

    instances: list[Any] = Field(min_length=1)


async def read_batch(scope: Scope, receive: Receive) -> bytes:
    """The body. Raises what `strict_json.read_body` does."""
    return await strict_json.read_body(scope, receive, max_bytes=MOST_BYTES, timeout=PATIENCE)


def instances(body: bytes, payload: type[BaseModel]) -> list[Instance]:
    """The instances, in order. Blocks: to be called in a thread.

    Raises InvalidRequest where the body is no such document or holds none, TooManyInstances for more than MOST,
    HTTPException 413 for more than MOST_MARKS.
    """
    if (marks := sum(map(body.count, (b",", b"[", b"{")))) > MOST_MARKS:
        rule = f"The body has {marks} commas and brackets, and {MOST_MARKS} are taken at most"
        raise HTTPException(413, f"{rule}: send at most {MOST} instances at once.")
    data = strict_json.parse(body, Document).instances
    if len(data) > MOST:
        raise too_many(len(data))
    return [_instance(each, payload) for each in data]


def _instance(data: Any, payload: type[BaseModel]) -> Instance:
    try:
        return validated(data, payload)
    except InvalidRequest as error:
        error.__cause__ = error.__context__ = None  # with the traceback it keeps all that pydantic found
        return error.with_traceback(None)
