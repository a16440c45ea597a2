"""POST /predict/batch in plain ASGI, as `asof.serving.api.predict`.

Nothing is sent before the first chunk is answered: an error that refuses the whole batch has a status of its own.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from starlette.datastructures import Headers, State
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from asof.errors import AsOfError
from asof.ledger.answers import Answer, Single
from asof.serving.access.rate_limits import charge
from asof.serving.batch.answer_formats import AnswerFormat, answer_format
from asof.serving.batch.instances import MAX_BODY_BYTES, Instance, instances
from asof.serving.batch.keeping import keep_chunk
from asof.serving.batch.outcomes import OK, Answered, code_of, item
from asof.serving.batch.work import Batch, BatchThread
from asof.serving.http.boundary import explain, occurrence, problem_response
from asof.serving.http.problems import Occurrence
from asof.serving.http.strict_json import read_body
from asof.serving.ledger.keeper import HEADER
from asof.serving.logs.access_log import KEY
from asof.serving.prediction.predictor import Predictor

if TYPE_CHECKING:
    from asof.serving.prediction.live import LiveModel

NewFormat = Callable[[Predictor, str], AnswerFormat]
"""From the predictor that answers and the request's id."""
MakeItem = Callable[[Answered, Predictor, Occurrence], dict[str, Any]]
"""As `asof.serving.batch.outcomes.item`."""

DISCONNECTED = "gone"
"""The code, in the metrics, of a batch whose client did not read all of it."""
BODY_TIMEOUT = 15.0
"""Seconds for a body to arrive; a worker that shuts down waits as long."""
SEND_TIMEOUT = 60.0
"""Seconds that sending may wait for the client, over all chunks: a slow reader occupies one of few slots."""


class BatchEncoder:
    """Encodes one batch's answer chunk by chunk; `encode` may be called in a thread."""

    def __init__(self, encoding: AnswerFormat, default: Predictor, scope: Scope, *, make_item: MakeItem = item) -> None:
        """`default` is the predictor that the answer names for the whole batch."""
        self._format, self._default, self._scope, self._make_item = encoding, default, scope, make_item
        self._occurrence = occurrence(scope)
        self._done = 0

    def encode(self, chunk: Sequence[Answered], requests: Sequence[Instance]) -> bytes:
        """The bytes of the answers to `requests`, which are kept."""
        items = [self._make_item(each, self._default, self._occurrence) for each in chunk]
        keep_chunk(chunk, requests, items, first=self._done, scope=self._scope)
        worker = self._default.worker
        for code, count in Counter(map(code_of, items)).items():
            worker.metrics.batch_users.labels(code).inc(count)
        self._done += len(chunk)
        return self._format.chunk(items)


class PredictBatch:
    """The ASGI application of the path; `state.live` must be set before the first request."""

    def __init__(self, state: State, payload: type[BaseModel]) -> None:
        """`payload` is the type of an instance."""
        self._state, self._payload, self.thread = state, payload, BatchThread()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        live: LiveModel = self._state.live
        try:
            with live.worker.batch_limit.slot():
                await self._answer(live, scope, receive, send)
        except (AsOfError, HTTPException) as error:
            await refuse(live, error, scope, receive=receive, send=send)
        except ClientDisconnect:
            return

    async def _answer(self, live: "LiveModel", scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, max_bytes=MAX_BODY_BYTES, timeout=BODY_TIMEOUT)
        requests = await self.thread.run(partial(instances, body, self._payload))
        charge(scope, len(requests) - 1)
        new_format = await self.thread.run(partial(answer_format, Headers(scope=scope).get("accept", "")))
        answering = Answering(self.thread, new_format)
        await answering.stream(live, requests, scope, receive=receive, send=send)


@dataclass(frozen=True)
class Answering:
    """How a batch is answered: the thread of its worker's batches, its format, and the items of that format."""

    thread: BatchThread
    new_format: NewFormat
    make_item: MakeItem = item

    async def stream(
        self, live: "LiveModel", requests: Sequence[Instance], scope: Scope, *, receive: Receive, send: Send
    ) -> None:
        """Sends the answers. Raises, before anything is sent, what refuses the whole batch."""
        request_id = occurrence(scope).request_id
        batch = Batch(live, self.thread, request_id=request_id)
        predictor = batch.assigned.predictor
        encoding = self.new_format(predictor, request_id)
        encoder = BatchEncoder(encoding, predictor, scope, make_item=self.make_item)
        async with contextlib.aclosing(self._encoded(batch, encoder, requests)) as chunks:
            complete = await _stream(chunks, encoding, receive, send)
        predictor.worker.metrics.batches.labels(OK if complete else DISCONNECTED).inc()

    async def _encoded(
        self, batch: Batch, encoder: BatchEncoder, requests: Sequence[Instance]
    ) -> AsyncGenerator[bytes, None]:
        done = 0
        async with contextlib.aclosing(batch.chunks(requests)) as chunks:
            async for chunk in chunks:
                part = requests[done : done + len(chunk)]
                encoded = await self.thread.run(partial(encoder.encode, chunk, part))
                done += len(chunk)
                yield encoded


async def _stream(chunks: AsyncGenerator[bytes, None], encoding: AnswerFormat, receive: Receive, send: Send) -> bool:
    """Sends the answer; False where the client disconnects or reads too slowly. Raises what the first chunk raises."""
    disconnected = asyncio.create_task(_disconnected(receive))
    try:
        first = encoding.head() + await anext(chunks)
        headers = [(b"content-type", encoding.media_type.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        body = _BodySender(send)
        await body.send(first)
        async for chunk in chunks:
            if disconnected.done():
                return False
            await body.send(chunk)
        await body.send(encoding.tail(), last=True)
    except ClientDisconnect:
        return False  # without its tail the answer is recognisably incomplete
    finally:
        disconnected.cancel()
    return True


class _BodySender:
    """Sends a body's chunks within SEND_TIMEOUT in all."""

    def __init__(self, send: Send) -> None:
        self._send, self._seconds_left = send, SEND_TIMEOUT

    async def send(self, chunk: bytes, *, last: bool = False) -> None:
        """Raises ClientDisconnect after the timeout."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._seconds_left):
                await self._send({"type": "http.response.body", "body": chunk, "more_body": not last})
        except TimeoutError:
            raise ClientDisconnect from None
        self._seconds_left -= time.monotonic() - started


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def refuse(
    live: "LiveModel", error: AsOfError | HTTPException, scope: Scope, *, receive: Receive, send: Send
) -> None:
    """Sends the problem of a whole batch, which is counted and kept."""
    document, headers = explain(error, scope)
    live.worker.metrics.batches.labels(document.code).inc()
    single = Single(document.request_id, scope["state"].get(KEY), Answer(None, document.status, document.code), None)
    kept = await live.worker.ledger.keep(live.answer_source, [single], required=False)
    await problem_response(document, {**headers, HEADER: kept})(scope, receive, send)
