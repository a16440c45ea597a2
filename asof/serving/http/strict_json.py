"""A request body -> a validated payload, or a refusal: bounded in size, JSON in name and in fact.

FastAPI reads a body of any length, and Python's JSON takes NaN, Infinity and repeated keys.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from asof.serving.http.problems import NOT_JSON, invalid_request

MOST_BYTES = 64 * 1024
PATIENCE = 5.0
"""Seconds for a body to arrive; nobody else in the fast lane looks at the time, and BentoML beside it only later."""
MOST_MEMBERS = 10_000
"""Of one object. Pydantic tells each that is unknown, and no other thread runs meanwhile."""
JSON = "application/json"

Payload = TypeVar("Payload", bound=BaseModel)


async def read_body(scope: Scope, receive: Receive, *, most: int = MOST_BYTES, patience: float = PATIENCE) -> bytes:
    """A body of at most `most` bytes, within `patience` seconds, that is called JSON; an empty one needs no type.

    Raises HTTPException: 408 where it does not arrive, 413 for a longer one, 415 for another content type or one with a
    content coding, 501 for a transfer coding other than chunked; ClientDisconnect where the client goes away.
    """
    body = await _received(scope, receive, most, patience)
    if body:
        _require_json(Headers(scope=scope).get("content-type", ""))
    return body


async def _received(scope: Scope, receive: Receive, most: int, patience: float) -> bytes:
    """The body; what comes after it is left unread."""
    headers = Headers(scope=scope)
    _require_plain(headers)
    if int(headers.get("content-length", 0)) > most:  # a caller that waits for 100 Continue need not send it
        raise _too_long(most)
    try:
        async with asyncio.timeout(patience):
            return b"".join([piece async for piece in _pieces(receive, most)])
    except TimeoutError:
        raise HTTPException(408, f"The body did not arrive within {patience:g} s: send it again.") from None


def parse(body: bytes, payload: type[Payload]) -> Payload:
    """The payload in a body that is JSON by RFC 8259 with distinct keys. Raises InvalidRequest, naming the places."""
    if not body:
        raise invalid_request([{"type": "missing", "loc": ("body",), "msg": "Field required"}])
    try:
        data = _data(body)
    except json.JSONDecodeError as error:
        raise invalid_request([{"type": NOT_JSON, "loc": ("body", error.pos), "ctx": {"error": error.msg}}]) from error
    return validated(data, payload)


def validated(data: Any, payload: type[Payload]) -> Payload:
    """The payload in what a body holds. Raises InvalidRequest, naming the places."""
    try:
        return payload.model_validate(data, from_attributes=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise invalid_request({**each, "loc": ("body", *each["loc"])} for each in found) from error


async def _pieces(receive: Receive, most: int) -> AsyncIterator[bytes]:
    left, more = most, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece, more = message.get("body", b""), message.get("more_body", False)
        left -= len(piece)
        if left < 0:
            raise _too_long(most)
        yield piece


def _too_long(most: int) -> HTTPException:
    return HTTPException(413, f"The body is longer than {most} bytes.")


def _require_plain(headers: Headers) -> None:
    """A packed body has a size that its bytes do not tell, so none is unpacked."""
    if coded := _codings(headers, "content-encoding") - {"identity"}:
        text = f"Send the body as it is, without Content-Encoding: {', '.join(sorted(coded)):.100}."
        raise HTTPException(415, text, {"Accept-Encoding": "identity"})
    if coded := _codings(headers, "transfer-encoding") - {"chunked", "identity"}:
        text = f"Send the body plain or chunked, without Transfer-Encoding: {', '.join(sorted(coded)):.100}."
        raise HTTPException(501, text)


def _codings(headers: Headers, name: str) -> set[str]:
    every = (coding.strip().lower() for value in headers.getlist(name) for coding in value.split(","))
    return set(filter(None, every))


def _require_json(given: str) -> None:
    if given.partition(";")[0].strip().lower() != JSON:
        raise HTTPException(415, f"Send the body as Content-Type: {JSON}, not {given or 'without one'!r:.100}.")


def _data(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), parse_constant=_refuse, object_pairs_hook=_distinct)
    except json.JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise json.JSONDecodeError(str(error), "", 0) from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_MEMBERS:
        raise ValueError(f"an object has {len(pairs)} members, more than {MOST_MEMBERS}")
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key occurs twice in one object")
    return members
