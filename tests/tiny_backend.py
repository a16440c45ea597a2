"""A backend that starts at once and does what a test wants: `python -m tests.tiny_backend BENTO --host H --port P`."""

import argparse
import asyncio
import hashlib
from collections import Counter

from aiohttp import web

PIECE = 65536


class Backend:
    """Answers; counts what it was asked and who hung up."""

    def __init__(self, bento: str) -> None:
        self.bento, self.counts, self.go = bento, Counter[str](), asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        for path in ("/readyz", "/livez"):
            app.router.add_get(path, self.ready)
        for name in ("model", "stream", "release", "hang", "cut", "drop", "digest", "large", "refuse", "told"):
            app.router.add_route("*", f"/{name}", getattr(self, name))
        app.router.add_route("*", "/told/{rest:.*}", self.told)
        return app

    async def ready(self, request: web.Request) -> web.Response:
        return web.Response()

    async def model(self, request: web.Request) -> web.Response:
        if self.bento == "tiny:guarded":
            return web.Response(status=401)
        proof = None if self.bento == "tiny:unproven" else {"rows": 1, "largest_difference": 0.0}
        return web.json_response({"bento": self.bento, "golden_rows": proof})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await self.go.wait()
        await response.write(b"last")
        return response

    async def release(self, request: web.Request) -> web.Response:
        self.go.set()
        return web.json_response(self.counts)

    async def hang(self, request: web.Request) -> web.Response:
        self.counts["asked"] += 1
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.counts["hung up"] += 1
            raise
        return web.Response()

    async def cut(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if "length" in request.query:
            response.content_length = 10
        await response.prepare(request)
        await response.write(b"half")
        await asyncio.sleep(0.1)
        assert request.transport
        request.transport.abort()
        return response

    async def drop(self, request: web.Request) -> web.Response:
        self.counts["dropped"] += 1
        assert request.transport
        request.transport.abort()
        return web.Response()

    async def digest(self, request: web.Request) -> web.Response:
        digest, length = hashlib.sha256(), 0
        async for piece in request.content.iter_any():
            digest.update(piece)
            length += len(piece)
        return web.json_response({"sha256": digest.hexdigest(), "length": length})

    async def large(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(int(request.query["pieces"])):
            await response.write(bytes([number % 256]) * PIECE)
        return response

    async def refuse(self, request: web.Request) -> web.Response:
        return web.Response(status=413, text="too large")

    async def told(self, request: web.Request) -> web.Response:
        headers = {"Connection": "X-Own", "X-Own": "hop", "Keep-Alive": "5", "Content-Encoding": "identity"}
        response = web.json_response(
            {
                "method": request.method,
                "target": request.raw_path,
                "headers": [[name.decode().lower(), value.decode()] for name, value in request.raw_headers],
            },
            headers=headers,
        )
        response.headers.extend([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return response


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("bento")
    options.add_argument("--host")
    options.add_argument("--port", type=int)
    given = options.parse_args()

    async def app() -> web.Application:
        return Backend(given.bento).app()

    web.run_app(app(), host=given.host, port=given.port, print=None, handler_cancellation=True, shutdown_timeout=5)


if __name__ == "__main__":
    main()
