"""HTTP responses of servers that are not ours, bounded in bytes and in seconds, and never compressed.

httpx decompresses a response before its bytes can be counted, and one compressed twice grows a millionfold.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Queue
from threading import Thread
from typing import Any, TypeVar

import httpx

Result = TypeVar("Result")

IDENTITY = {"Accept-Encoding": "identity"}
MAX_BYTES = 1_000_000
"""Of a response, unless its reader sets another limit."""


class CompressedResponse(httpx.DecodingError):
    """The response has a content coding, although none was accepted."""


class OversizedResponse(httpx.DecodingError):
    """The response is longer than its reader accepts."""


def require_identity(response: httpx.Response) -> None:
    """Raises CompressedResponse. Call it before reading the body, and read that by `iter_raw`."""
    coding = response.headers.get("content-encoding", "").strip()
    if coding.lower() not in ("", "identity"):
        raise CompressedResponse(f"it sent a compressed response ({coding:.40}), which was not accepted")


def request(
    method: str, url: httpx.URL | str, *, timeout: float, max_bytes: int = MAX_BYTES, **options: Any
) -> httpx.Response:
    """One request -> the whole response, within `timeout` seconds; `options` are httpx's. Blocks.

    Raises httpx.InvalidURL, and httpx.HTTPError: also CompressedResponse, OversizedResponse, and ReadTimeout where the
    body is still arriving after the timeout.
    """
    deadline, body = time.monotonic() + timeout, bytearray()
    headers = {**options.pop("headers", {}), **IDENTITY}
    with httpx.stream(method, url, headers=headers, timeout=timeout, **options) as response:
        require_identity(response)
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > max_bytes:
                raise OversizedResponse(f"its response is longer than {max_bytes} bytes")
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout(f"no complete response within {timeout:g} seconds")
    return httpx.Response(response.status_code, headers=response.headers, content=bytes(body))


def within(seconds: float, work: Callable[[], Result]) -> Result:
    """The result of `work`, which raises nothing, in a thread. Raises TimeoutError.

    No library's timeout covers the name lookup or a slow trickle of bytes.
    """
    results: Queue[Result] = Queue()
    Thread(target=lambda: results.put(work()), daemon=True).start()
    with suppress(Empty):
        return results.get(timeout=seconds)
    raise TimeoutError(f"no complete response within {seconds:g} seconds")
