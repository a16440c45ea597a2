"""Client and AsyncClient: the same calls over httpx, with retries."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from asof.client import calls
from asof.client.answers import OutcomeVerdict, Prediction
from asof.client.calls import Call, Reply
from asof.client.errors import ClientError, NoAnswer, Problem, TimedOut
from asof.client.retries import Retries

if TYPE_CHECKING:
    import httpx
    import pandas as pd
    import pyarrow as pa

Instance = Mapping[str, Any]
"""A request as POST /predict takes it."""
Result = TypeVar("Result")
TIMEOUT = 30.0
"""Seconds: a batch of ten thousand rows takes one or two."""


class Client:
    """A client of the service at `url`; close it, or use it in a `with` block. It may be used by several threads.

    `timeout` are the seconds of each attempt; `transport` is httpx's, for tests and proxies. Each call raises an
    exception of `asof.client.errors` unless it has what it returns. `request_id` is sent as X-Request-ID.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = TIMEOUT,
        retries: Retries = Retries(),  # noqa: B008 - frozen
        transport: "httpx.BaseTransport | None" = None,
    ) -> None:
        import httpx

        self._retries = retries
        self._http = httpx.Client(base_url=url, headers=_headers(api_key), timeout=timeout, transport=transport)

    def predict(self, instance: Instance, *, request_id: str | None = None) -> Prediction:
        """The prediction of one instance."""
        return self._send(calls.predict(instance, request_id))

    def predict_batch(
        self, instances: Sequence[Instance], *, request_id: str | None = None
    ) -> list[Prediction | Problem]:
        """A prediction or a problem for each instance, in order."""
        made = [self._send(calls.predict_batch(part, request_id)) for part in calls.parts(instances)]
        return [each for part in made for each in part]

    def predict_frame(self, frame: "pd.DataFrame", *, request_id: str | None = None) -> "pd.DataFrame":
        """The answers to a frame's rows, with its index: the answer's members, and `code` and `detail` of a problem."""
        rows = calls.rows_of(frame)
        tables = [self._send(calls.predict_table(part, request_id)) for part in calls.parts(rows)]
        return calls.frame_of(tables, frame.index)

    def predict_table(self, instances: Sequence[Instance], *, request_id: str | None = None) -> "pa.Table":
        """The answers to at most 10,000 instances as the service sends them in Arrow."""
        return self._send(calls.predict_table(instances, request_id))

    def outcomes(self, items: Sequence[Instance], *, request_id: str | None = None) -> list[OutcomeVerdict]:
        """Reports what came of predictions; the verdict on each item, in order."""
        made = [self._send(calls.outcomes(part, request_id)) for part in calls.parts(items)]
        return [each for part in made for each in part]

    def model(self) -> Mapping[str, Any]:
        """The lineage of the served model."""
        return self._send(calls.model())

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, call: Call[Result]) -> Result:
        attempts = self._retries.start()
        while True:
            try:
                return call.result(self._reply(call))
            except ClientError as error:
                time.sleep(attempts.wait_after(error))

    def _reply(self, call: Call[Any]) -> Reply:
        import httpx

        try:
            return _reply(self._http.request(call.method, call.path, content=call.content, headers=call.headers))
        except httpx.RequestError as error:
            raise _lost(error) from error


class AsyncClient:
    """The same for asyncio; close it by `aclose`, or use it in an `async with` block."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = TIMEOUT,
        retries: Retries = Retries(),  # noqa: B008 - frozen
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        import httpx

        self._retries = retries
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(api_key), timeout=timeout, transport=transport)

    async def predict(self, instance: Instance, *, request_id: str | None = None) -> Prediction:
        """The prediction of one instance."""
        return await self._send(calls.predict(instance, request_id))

    async def predict_batch(
        self, instances: Sequence[Instance], *, request_id: str | None = None
    ) -> list[Prediction | Problem]:
        """A prediction or a problem for each instance, in order."""
        made = [await self._send(calls.predict_batch(part, request_id)) for part in calls.parts(instances)]
        return [each for part in made for each in part]

    async def predict_frame(self, frame: "pd.DataFrame", *, request_id: str | None = None) -> "pd.DataFrame":
        """The answers to a frame's rows, with its index: the answer's members, and `code` and `detail` of a problem."""
        rows = calls.rows_of(frame)
        tables = [await self._send(calls.predict_table(part, request_id)) for part in calls.parts(rows)]
        return calls.frame_of(tables, frame.index)

    async def predict_table(self, instances: Sequence[Instance], *, request_id: str | None = None) -> "pa.Table":
        """The answers to at most 10,000 instances as the service sends them in Arrow."""
        return await self._send(calls.predict_table(instances, request_id))

    async def outcomes(self, items: Sequence[Instance], *, request_id: str | None = None) -> list[OutcomeVerdict]:
        """Reports what came of predictions; the verdict on each item, in order."""
        made = [await self._send(calls.outcomes(part, request_id)) for part in calls.parts(items)]
        return [each for part in made for each in part]

    async def model(self) -> Mapping[str, Any]:
        """The lineage of the served model."""
        return await self._send(calls.model())

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _send(self, call: Call[Result]) -> Result:
        attempts = self._retries.start()
        while True:
            try:
                return call.result(await self._reply(call))
            except ClientError as error:
                await asyncio.sleep(attempts.wait_after(error))

    async def _reply(self, call: Call[Any]) -> Reply:
        import httpx

        try:
            return _reply(await self._http.request(call.method, call.path, content=call.content, headers=call.headers))
        except httpx.RequestError as error:
            raise _lost(error) from error


def _headers(api_key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


def _reply(response: "httpx.Response") -> Reply:
    return Reply(response.status_code, dict(response.headers), response.content)


def _lost(error: "httpx.RequestError") -> ClientError:
    import httpx

    text = f"{error.request.method} {error.request.url}: {error or type(error).__name__}"
    return TimedOut(text) if isinstance(error, httpx.TimeoutException) else NoAnswer(text)
