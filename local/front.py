"""The front door: listens on the prediction service's port, and passes each request on to the backend of the moment.

`python -m local.front FOLDER --host HOST --port PORT`. Which backend that is stands in FOLDER (`local.traffic`) and is
looked up for each request, so that no request which comes after a switch goes to the old one. Bodies pass in pieces,
both ways; who hangs up on us is hung up on behind us. Where no backend answers, it is a 503 problem with Retry-After.

What was sent to a backend is not sent again: it may have been worked on. Only where a kept connection turns out to be
dead, and the method is idempotent, aiohttp tries once more (RFC 9110, 9.2.2). A POST needs no such luck: backends close
idle connections after five seconds, we after two, and a backend is ended only when nothing is on its way to it.
"""

import argparse
import asyncio
import fcntl
import json
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from asof.serving.boundary import HEADER, request_id
from asof.serving.problems import BY_STATUS, MEDIA_TYPE, Occurrence, problem
from local.background import Running, record_file
from local.traffic import read_traffic, traffic_file

KEEP_SECONDS = 2
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)
RETRY_AFTER = "2"
OF_ONE_CONNECTION = {
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
"""Headers that are for the next hop only (RFC 9110, 7.6.1); `Connection` may name more."""


class Backend:
    """One backend: its address, and the lock on its record while a request may be on its way to it."""

    def __init__(self, record: TextIO) -> None:
        self._record = record
        self._in_flight, self._left = 0, False
        fcntl.flock(record, fcntl.LOCK_SH | fcntl.LOCK_NB)
        self.running = Running(**json.load(record))

    @contextmanager
    def request(self) -> Iterator[None]:
        """Counts a request while it is on its way."""
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            self._release()

    def leave(self) -> None:
        """No more requests come; the lock goes with the last one."""
        self._left = True
        self._release()

    def _release(self) -> None:
        if self._left and not self._in_flight:
            self._record.close()


class Front:
    """The handler of all requests."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, traffic_file(folder)
        self._seen: tuple[int, int] | None = None
        self._backend: Backend | None = None
        self._session: aiohttp.ClientSession

    async def open(self, _: web.Application) -> AsyncIterator[None]:
        """Keeps the pool of connections. It has no limit of its own: how many are too many, the service says (429)."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_SECONDS)
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=TIMEOUT,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=(hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.USER_AGENT, hdrs.CONTENT_TYPE),
        ) as self._session:
            yield

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Passes one request on, and the answer back."""
        backend = self._current()
        if backend is None:
            return _unanswered(request, "No Bento is deployed.")
        with backend.request():
            return await self._pass(request, backend.running)

    def _current(self) -> Backend | None:
        """The backend that the traffic file names at this moment."""
        seen = _signature(self._file)
        if seen != self._seen:
            if self._backend:
                self._backend.leave()
            self._backend, self._seen = self._opened(), seen
        return self._backend

    def _opened(self) -> Backend | None:
        if traffic := read_traffic(self._folder):
            with suppress(OSError):
                return Backend(record_file(traffic.slot, self._folder).open())
        return None

    async def _pass(self, request: web.Request, to: Running) -> web.StreamResponse:
        response: web.StreamResponse | None = None
        try:
            async with self._session.request(
                request.method,
                URL.build(
                    scheme="http",
                    host=to.host,
                    port=to.port,
                    path=request.rel_url.raw_path,
                    query_string=request.rel_url.raw_query_string,
                    encoded=True,
                ),
                headers=_forwarded(request),
                data=request.content if request.body_exists else None,
                allow_redirects=False,
            ) as answer:
                headers = _end_to_end(answer.headers)
                response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
                await response.write_eof()
        except (aiohttp.ClientError, TimeoutError) as error:
            if response is None:
                return _unanswered(request, f"The backend does not answer ({type(error).__name__}).")
            if request.transport:  # half an answer must not look like a whole one
                request.transport.abort()
        return response


def _signature(file: Path) -> tuple[int, int] | None:
    with suppress(FileNotFoundError):
        found = file.stat()
        return found.st_ino, found.st_mtime_ns
    return None


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    named = {name.strip().lower() for name in ",".join(headers.getall(hdrs.CONNECTION, ())).split(",")}
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in OF_ONE_CONNECTION | named
    )


def _forwarded(request: web.Request) -> CIMultiDict[str]:
    headers = _end_to_end(request.headers)
    headers.add(hdrs.X_FORWARDED_FOR, request.remote or "unknown")
    return headers


def _unanswered(request: web.Request, what: str) -> web.Response:
    occurrence = Occurrence(request.path, request_id(request.headers.get(HEADER, "")))
    document = problem(BY_STATUS[503], f"{what} Try again; `make status` tells what runs.", occurrence)
    return web.Response(
        body=document.model_dump_json(exclude_none=True).encode(),
        status=document.status,
        content_type=MEDIA_TYPE,
        headers={hdrs.RETRY_AFTER: RETRY_AFTER, HEADER: document.request_id},
    )


def make_app(folder: Path) -> web.Application:
    """The front door of a folder of records."""
    front, app = Front(folder), web.Application()
    app.cleanup_ctx.append(front.open)
    app.router.add_route("*", "/{path:.*}", front.handle)
    return app


def main() -> None:
    """Listens until SIGTERM; requests that are in flight then are finished."""
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=Path)
    options.add_argument("--host")
    options.add_argument("--port", type=int)
    given = options.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two sockets for each request
    web.run_app(
        make_app(given.folder),
        host=given.host,
        port=given.port,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=12,
        print=None,
        loop=asyncio.new_event_loop(),
    )


if __name__ == "__main__":
    main()
