"""The outermost layer where API keys are set: an unauthorised or too frequent request reaches no other layer.

It is outside of BentoML's own paths, load shedding and metrics, too. The body of a refused request is not read.
"""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from time import perf_counter

from prometheus_client import Counter
from starlette.types import ASGIApp, Receive, Scope, Send

from asof.errors import AsOfError, Forbidden, TooManyRequests, Unauthenticated
from asof.serving.access.api_keys import ApiKey, find
from asof.serving.access.key_file import KeyFile
from asof.serving.access.rate_limits import CHARGE, RateLimiter
from asof.serving.access.scopes import HELD, OPEN, scopes_for
from asof.serving.http.boundary import REQUEST_ID, occurrence, problem_response, request_id_of
from asof.serving.http.problems import describe
from asof.serving.logs.access_log import KEY, AccessLog

AUTHORIZATION, SCHEME = b"authorization", b"bearer"


class Authentication:
    """ASGI application around the whole service; without `rates` the frequency of requests is not limited."""

    def __init__(
        self, app: ASGIApp, *, keys: KeyFile, rates: RateLimiter | None, access_log: AccessLog, refused: Counter
    ) -> None:
        self.app, self._keys, self._rates = app, keys, rates
        self._access_log, self._refused = access_log, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in OPEN:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":  # supported by no path
            await send({"type": "websocket.close", "code": 1008})
        else:
            begun = perf_counter()
            try:
                self._admit(scope)
            except AsOfError as error:
                await self._refuse(error, scope, receive, send=send, begun=begun)
            else:
                await self.app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        """Sets the request's key and scopes in its state. Raises Unauthenticated, Forbidden or TooManyRequests."""
        key, state = self._key(scope["headers"]), scope.setdefault("state", {})
        state[KEY], state[HELD] = key.name, key.scopes
        required = scopes_for(scope["path"])
        if not key.scopes & required:
            (missing,) = required
            message = f"{scope['path']} requires a key with the scope {missing}, which {key.name} lacks."
            raise Forbidden(message, scope=missing)
        if self._rates:
            if seconds := self._rates.take(key.name):
                message = f"{key.name} exceeds its request rate; retry after the given delay."
                raise TooManyRequests(message, retry_after=math.ceil(seconds))
            state[CHARGE] = partial(self._rates.charge, key.name)

    def _key(self, headers: Iterable[tuple[bytes, bytes]]) -> ApiKey:
        values = [value for name, value in headers if name == AUTHORIZATION]
        scheme, _, secret = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
        if scheme.lower() != SCHEME:
            raise Unauthenticated("Send one header `Authorization: Bearer KEY` with a key of this service.")
        key = find(secret.strip(), self._keys.keys)
        if key is None:
            raise Unauthenticated("The API key is unknown to this service, or was removed: request a new one.")
        if key.has_expired(datetime.now(UTC)):
            raise Unauthenticated(f"The key {key.name} has expired ({key.expires}): request a new one.")
        return key

    async def _refuse(self, error: AsOfError, scope: Scope, receive: Receive, *, send: Send, begun: float) -> None:
        """Sends the problem and counts it. It is logged unless it is one of many requests of one key."""
        request_id = request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        document, headers = describe(error, occurrence(scope))
        self._refused.labels(document.code).inc()
        await problem_response(document, {**headers, REQUEST_ID: request_id})(scope, receive, send)
        if not isinstance(error, TooManyRequests):
            self._access_log.finished(scope, request_id, status=document.status, begun=begun)
