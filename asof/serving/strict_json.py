"""A request body -> plain data, or a refusal: bounded in size, JSON in name and in fact.

FastAPI reads a body of any length, and Python's JSON takes NaN, Infinity and repeated keys.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

MOST_BYTES = 64 * 1024
JSON = "application/json"


class StrictJsonRequest(Request):
    """Reads at most MOST_BYTES, and only what is called JSON and is JSON by RFC 8259 with distinct keys."""

    async def body(self) -> bytes:
        """Raises HTTPException: 413 for a longer body, 415 for another type. An absent type is another type, too."""
        body = bytearray()
        async for chunk in self.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                raise HTTPException(413, f"The body is longer than {MOST_BYTES} bytes.")
        given = self.headers.get("content-type", "")
        if body and given.partition(";")[0].strip().lower() != JSON:
            raise HTTPException(415, f"Send the body as Content-Type: {JSON}, not {given or 'without one'!r:.100}.")
        self._text = bytes(body)
        return self._text

    async def json(self) -> Any:
        """Raises JSONDecodeError, which FastAPI turns into a validation error."""
        try:
            return json.loads(self._text.decode(), parse_constant=_refuse, object_pairs_hook=_distinct)
        except json.JSONDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            raise json.JSONDecodeError(str(error), "", 0) from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key occurs twice in one object")
    return members


class StrictJsonRoute(APIRoute):
    """A FastAPI route that reads its body by StrictJsonRequest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(StrictJsonRequest(request.scope, request.receive))

        return strict
