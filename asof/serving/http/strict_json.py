"""A request's body -> a validated payload: bounded in size and time, and strict JSON.

FastAPI reads a body of any length, and Python's `json` accepts NaN, Infinity and repeated keys.
"""

import asyncio
import json
from collections.abc import Collection
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from asof.serving.http.problems import NOT_JSON, invalid_request

MAX_BODY_BYTES = 64 * 1024
BODY_TIMEOUT = 5.0
"""Seconds. The fast lane has no other timeout, and BentoML's is longer."""
MAX_MEMBERS = 10_000
"""Of one object. Pydantic reports each unknown one, and blocks all threads meanwhile."""
JSON = "application/json"
CODINGS = frozenset({b"content-encoding", b"transfer-encoding"})

Payload = TypeVar("Payload", bound=BaseModel)


async def read_body(
    scope: Scope,
    receive: Receive,
    *,
    max_bytes: int = MAX_BODY_BYTES,
    timeout: float = BODY_TIMEOUT,
    kinds: Collection[str] = (JSON,),
) -> bytes:
    """A body of at most `max_bytes` that arrives within `timeout` seconds.

    Unless it is empty, it is declared as one of these kinds: media types (empty: it may be without a declaration).

    Raises HTTPException: 408 where it does not arrive, 413 for a longer one, 415 for another content type or for a
    content coding, 501 for a transfer coding other than chunked; ClientDisconnect.
    """
    body = await _received(scope, receive, max_bytes, timeout)
    content_type = _headers(scope).get(b"content-type", b"").decode("latin-1")
    if body and media_type(content_type) not in kinds:
        wanted = " or ".join(filter(None, kinds))
        raise HTTPException(
            415, f"Send the body as Content-Type: {wanted}, not {content_type or 'without one'!r:.100}."
        )
    return body


def media_type(content_type: str) -> str:
    """The media type of a Content-Type header, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


async def _received(scope: Scope, receive: Receive, max_bytes: int, timeout: float) -> bytes:
    """The body; the rest is not read."""
    headers = _headers(scope)
    if not CODINGS.isdisjoint(headers):
        _require_identity(Headers(scope=scope))
    if int(headers.get(b"content-length", 0)) > max_bytes:  # before a client that waits for 100 Continue sends it
        raise _too_long(max_bytes)
    try:
        async with asyncio.timeout(timeout):
            return await _joined(receive, max_bytes)
    except TimeoutError:
        raise HTTPException(408, f"The body did not arrive within {timeout:g} s: send it again.") from None


def parse(body: bytes, payload: type[Payload]) -> Payload:
    """The payload of a body in JSON (RFC 8259) with distinct keys. Raises InvalidRequest, naming the places."""
    if not body:
        raise invalid_request([{"type": "missing", "loc": ("body",), "msg": "Field required"}])
    try:
        data = _load(body)
    except json.JSONDecodeError as error:
        raise invalid_request([{"type": NOT_JSON, "loc": ("body", error.pos), "ctx": {"error": error.msg}}]) from error
    return validated(data, payload)


def validated(data: Any, payload: type[Payload]) -> Payload:
    """The payload of parsed JSON. Raises InvalidRequest, naming the places."""
    try:
        return payload.model_validate(data, from_attributes=True)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        raise invalid_request({**each, "loc": ("body", *each["loc"])} for each in errors) from error


async def _joined(receive: Receive, max_bytes: int) -> bytes:
    chunks, size, more = list[bytes](), 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        size, more = size + len(chunks[-1]), message.get("more_body", False)
        if size > max_bytes:
            raise _too_long(max_bytes)
    return b"".join(chunks)


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """Of repeated ones the first."""
    return dict(reversed(scope["headers"]))


def _too_long(max_bytes: int) -> HTTPException:
    return HTTPException(413, f"The body is longer than {max_bytes} bytes.")


def _require_identity(headers: Headers) -> None:
    """Refuses compressed bodies: their length does not bound what they decompress to."""
    if codings := _codings(headers, "content-encoding") - {"identity"}:
        text = f"Send the body as it is, without Content-Encoding: {', '.join(sorted(codings)):.100}."
        raise HTTPException(415, text, {"Accept-Encoding": "identity"})
    if codings := _codings(headers, "transfer-encoding") - {"chunked", "identity"}:
        text = f"Send the body plain or chunked, without Transfer-Encoding: {', '.join(sorted(codings)):.100}."
        raise HTTPException(501, text)


def _codings(headers: Headers, name: str) -> set[str]:
    codings = (coding.strip().lower() for value in headers.getlist(name) for coding in value.split(","))
    return set(filter(None, codings))


def _load(body: bytes) -> Any:
    try:
        return DECODER.decode(_text(body))
    except json.JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise json.JSONDecodeError(str(error), "", 0) from error


def _text(body: bytes) -> str:
    text = body.decode()
    if text.startswith("\ufeff"):
        raise json.JSONDecodeError("Unexpected UTF-8 BOM (decode using utf-8-sig)", text, 0)
    return text


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise ValueError(f"an object has {len(pairs)} members, more than {MAX_MEMBERS}")
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key occurs twice in one object")
    return members


DECODER = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=_distinct)
"""`json.loads` would make one for each body."""
