"""GET requests of the checks, with a timeout for the whole response."""

import re
from dataclasses import dataclass
from typing import Any

import httpx

from asof import bounded_http

TIMEOUT = 5.0
"""Seconds for the whole response."""


@dataclass(frozen=True)
class Response:
    """`status` is 0 if no response came; `trouble` says why. `body` is `text` parsed as JSON, or None."""

    status: int
    body: Any = None
    trouble: str = ""
    text: str = ""


def get(address: str, path: str) -> Response:
    """One GET request. Credentials in the address are sent and never quoted."""
    try:
        return bounded_http.within(TIMEOUT, lambda: _get(address, path))
    except TimeoutError as error:
        return Response(0, trouble=str(error))


def _get(address: str, path: str) -> Response:
    try:
        url = httpx.URL(address)
        auth = (url.username, url.password) if url.userinfo else None
        to = url.copy_with(username=None, password=None, raw_path=f"{url.path.rstrip('/')}{path}".encode())
        response = bounded_http.request("GET", to, auth=auth, timeout=TIMEOUT)
    except httpx.HTTPError as error:
        message = str(error).rstrip(".")
        return Response(0, trouble=type(error).__name__ if "@" in message else message or type(error).__name__)
    except (httpx.InvalidURL, ValueError):  # its message may quote the password
        return Response(0, trouble="it cannot be read as an address")
    return Response(response.status_code, _json(response), text=response.text)


def redacted(address: str) -> str:
    """The address without credentials: everything before `@` goes, as a malformed address may hold them anywhere."""
    return re.sub(r"^([\w+]+://)?.*@", r"\1", address, flags=re.DOTALL)


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
