"""Answers of servers that are not ours: as they are, never packed, and no longer and no slower than they may be.

httpx unpacks an answer before anybody can count its bytes, and what was packed twice grows a millionfold: so nothing
packed is asked for, and none is read.
"""

import time
from typing import Any

import httpx

IDENTITY = {"Accept-Encoding": "identity"}
MOST = 1_000_000
"""Bytes of an answer, unless its reader says otherwise."""


class PackedAnswer(httpx.DecodingError):
    """The answer has a content coding, which was not asked for."""


class LongAnswer(httpx.DecodingError):
    """The answer is longer than its reader takes."""


def require_identity(response: httpx.Response) -> None:
    """Raises PackedAnswer. To be called before the body is read, and that as `iter_raw` gives it."""
    coding = response.headers.get("content-encoding", "").strip()
    if coding.lower() not in ("", "identity"):
        raise PackedAnswer(f"it sends its answer packed ({coding:.40}), which was not asked for")


def ask(method: str, url: httpx.URL | str, *, seconds: float, most: int = MOST, **options: Any) -> httpx.Response:
    """One request -> the whole answer; `options` are httpx's. Blocks.

    Raises httpx.HTTPError: also PackedAnswer, LongAnswer, and ReadTimeout for one that drips past its seconds;
    httpx.InvalidURL.
    """
    until, body = time.monotonic() + seconds, bytearray()
    headers = {**options.pop("headers", {}), **IDENTITY}
    with httpx.stream(method, url, headers=headers, timeout=seconds, **options) as response:
        require_identity(response)
        for piece in response.iter_raw():
            body += piece
            if len(body) > most:
                raise LongAnswer(f"its answer is longer than {most} bytes")
            if time.monotonic() > until:
                raise httpx.ReadTimeout(f"no whole answer within {seconds:g} seconds")
    return httpx.Response(response.status_code, headers=response.headers, content=bytes(body))
