"""POST /predict/batch, from the bytes of a request to those of its answer, in plain ASGI as `asof.serving.api.predict`
is.

Nothing is sent before the first chunk is answered: what refuses the whole batch is a problem with a status of its own.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pydantic import BaseModel
from starlette.datastructures import Headers, State
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from asof.errors import AsOfError
from asof.serving.access.rate_limits import charge
from asof.serving.batch.answer_forms import Form, form_kind
from asof.serving.batch.instances import Instance, instances, read_batch
from asof.serving.batch.outcomes import OK, Answered, Item, code_of, item
from asof.serving.batch.work import Aside, Batch
from asof.serving.http.boundary import explain, occurrence, problem_response
from asof.serving.http.problems import Occurrence
from asof.serving.logs.answer_log import Facts, Line, answer_facts
from asof.serving.prediction.predictor import Prediction, Predictor

if TYPE_CHECKING:
    from asof.serving.prediction.live import Live


class Telling:
    """Tells one batch, chunk by chunk; `piece` may be called in a thread."""

    def __init__(self, form: Form, standard: Predictor, occurrence: Occurrence) -> None:
        """`standard` is the predictor that the answer names as the batch's."""
        self._form, self._standard, self._occurrence = form, standard, occurrence
        self._told = 0

    def piece(self, chunk: Sequence[Answered], asked: Sequence[Instance]) -> tuple[bytes, Callable[[], None]]:
        """The bytes of the answers to `asked`; and what writes their lines, to be called in the event loop."""
        items = [item(each, self._standard, self._occurrence) for each in chunk]
        worker = self._standard.worker
        for code, count in Counter(map(code_of, items)).items():
            worker.metrics.batch_users.labels(code).inc(count)
        write = worker.answer_log.batch(lambda: self._lines(chunk, asked, items))
        piece = self._form.piece(items)
        self._told += len(chunk)
        return piece, write

    def _lines(self, chunk: Sequence[Answered], asked: Sequence[Instance], items: Sequence[Item]) -> list[Line]:
        whole, first = self._occurrence.request_id, self._told
        return [
            (f"{whole}:{first + place}", each.predictor, _facts(each, request, told))
            for place, (each, request, told) in enumerate(zip(chunk, asked, items, strict=True))
        ]


def _facts(answered: Answered, request: Instance, told: Item) -> Facts:
    if isinstance(answered.outcome, Prediction):
        entity = getattr(request, answered.predictor.model.facts.contract.entity, None)
        return answer_facts(entity, answered.outcome.evidence)
    problem = told["problem"]
    return {"status": problem["status"], "code": problem["code"], "entity": problem.get("entity")}


GONE = "gone"
"""The outcome of a batch whose client did not read it to its end."""
PATIENCE = 60.0
"""Seconds that a client is waited for, over all chunks: whoever reads a little now and then must not keep a place from
others either."""


class PredictBatch:
    """One address; `state.live` must be set before its first request. `payload` is what one instance is."""

    def __init__(self, state: State, payload: type[BaseModel]) -> None:
        self._state, self._payload, self._aside = state, payload, Aside()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        live: Live = self._state.live
        try:
            with live.worker.batches.slot():
                await self._answer(live, scope, receive, send)
        except (AsOfError, HTTPException) as error:
            await _refuse(live, error, scope, receive=receive, send=send)
        except ClientDisconnect:
            return

    async def _answer(self, live: "Live", scope: Scope, receive: Receive, send: Send) -> None:
        asked = await self._asked(scope, receive)
        charge(scope, len(asked) - 1)
        kind = await self._aside.run(partial(form_kind, Headers(scope=scope).get("accept", "")))
        where = occurrence(scope)
        batch = Batch(live, self._aside, request_id=where.request_id)
        predictor = batch.turn.predictor
        form = kind(predictor, where.request_id)
        async with contextlib.aclosing(self._pieces(batch, Telling(form, predictor, where), asked)) as pieces:
            whole = await _stream(pieces, form, receive, send)
        predictor.worker.metrics.batches.labels(OK if whole else GONE).inc()

    async def _asked(self, scope: Scope, receive: Receive) -> list[Instance]:
        body = await read_batch(scope, receive)
        return await self._aside.run(partial(instances, body, self._payload))

    async def _pieces(self, batch: Batch, telling: Telling, asked: Sequence[Instance]) -> AsyncGenerator[bytes, None]:
        done = 0
        async with contextlib.aclosing(batch.chunks(asked)) as chunks:
            async for chunk in chunks:
                part = asked[done : done + len(chunk)]
                piece, write = await self._aside.run(partial(telling.piece, chunk, part))
                write()
                done += len(chunk)
                yield piece


async def _stream(pieces: AsyncGenerator[bytes, None], form: Form, receive: Receive, send: Send) -> bool:
    """Sends it all; False where the client went away, or did not read. Raises what the first chunk raises."""
    gone = asyncio.create_task(_disconnected(receive))
    try:
        first = form.head() + await anext(pieces)
        headers = [(b"content-type", form.media_type.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        reader = _Reader(send)
        await reader.take(first)
        async for piece in pieces:
            if gone.done():
                return False
            await reader.take(piece)
        await send({"type": "http.response.body", "body": form.tail()})
    except ClientDisconnect:
        return False  # without an end the answer does not look like a whole one
    finally:
        gone.cancel()
    return True


class _Reader:
    """The client of one answer, with the patience that is left for it."""

    def __init__(self, send: Send) -> None:
        self._send, self._left = send, PATIENCE

    async def take(self, piece: bytes) -> None:
        """Raises ClientDisconnect where the patience is over."""
        begun = time.monotonic()
        try:
            async with asyncio.timeout(self._left):
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError:
            raise ClientDisconnect from None
        self._left -= time.monotonic() - begun


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(
    live: "Live", error: AsOfError | HTTPException, scope: Scope, *, receive: Receive, send: Send
) -> None:
    document, headers = explain(error, scope)
    live.worker.metrics.batches.labels(document.code).inc()
    live.worker.answer_log.refused(
        document.request_id, live.answering, status=document.status, code=document.code, entity=None
    )
    await problem_response(document, headers)(scope, receive, send)
