"""The outermost layer where API keys are set: who has no key that counts, or asks too often, takes no place.

It stands before BentoML's own addresses, the turnstile and the metrics too. The body of who is refused is not read.
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
from asof.serving.access.rate_limits import CHARGE, Rates
from asof.serving.access.scopes import OPEN, sufficient
from asof.serving.http.boundary import HEADER, occurrence, problem_response, request_id_of
from asof.serving.http.problems import describe
from asof.serving.logs.access_log import KEY, AccessLog

AUTHORIZATION, SCHEME = b"authorization", b"bearer"
UNTOLD = "Send one header `Authorization: Bearer KEY`, with a key of this service."


class Entrance:
    """An application around the whole one; without `rates` a key may ask as often as it likes."""

    def __init__(
        self, app: ASGIApp, *, keys: KeyFile, rates: Rates | None, access_log: AccessLog, refused: Counter
    ) -> None:
        self.app, self._keys, self._rates = app, keys, rates
        self._access_log, self._refused = access_log, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in OPEN:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":  # no address takes one
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
        """Raises Unauthenticated, Forbidden or TooManyRequests; notes the key's name in the request's state."""
        key, state = self._key(scope["headers"]), scope.setdefault("state", {})
        state[KEY] = key.name
        wanted = sufficient(scope["path"])
        if not key.scopes & wanted:
            (scope_,) = wanted
            raise Forbidden(f"{scope['path']} takes a key of scope {scope_}, and {key.name} has none.", scope=scope_)
        if self._rates:
            if seconds := self._rates.take(key.name):
                raise TooManyRequests(
                    f"{key.name} asks more often than a key may: try again later.", retry_after=math.ceil(seconds)
                )
            state[CHARGE] = partial(self._rates.owe, key.name)

    def _key(self, headers: Iterable[tuple[bytes, bytes]]) -> ApiKey:
        given = [value for name, value in headers if name == AUTHORIZATION]
        scheme, _, secret = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        if scheme.lower() != SCHEME:
            raise Unauthenticated(UNTOLD)
        key = find(secret.strip(), self._keys.keys)
        if key is None:
            raise Unauthenticated("No key of this service is like the one that was sent: it may have been removed.")
        if key.has_expired(datetime.now(UTC)):
            raise Unauthenticated(f"The key {key.name} has ended ({key.expires}): ask for another.")
        return key

    async def _refuse(self, error: AsOfError, scope: Scope, receive: Receive, *, send: Send, begun: float) -> None:
        """The problem, a count and, but for a flood of one key's, a line in the access log."""
        own_id = request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = own_id
        document, headers = describe(error, occurrence(scope))
        self._refused.labels(document.code).inc()
        await problem_response(document, {**headers, HEADER: own_id})(scope, receive, send)
        if not isinstance(error, TooManyRequests):
            self._access_log.finished(scope, own_id, status=document.status, begun=begun)
