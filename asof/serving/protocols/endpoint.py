"""An endpoint of a protocol, in plain ASGI: one row is answered as POST /predict, several as POST /predict/batch.

A request for one row has the status of its problem. Of several rows, each has its answer or its problem.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel
from starlette.datastructures import Headers, State
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from asof.errors import AsOfError
from asof.serving.access.rate_limits import charge
from asof.serving.api.predict import refusal, respond
from asof.serving.batch import instances as batches
from asof.serving.batch.keeping import KEPT
from asof.serving.batch.outcomes import Answered
from asof.serving.batch.predict_batch import BODY_TIMEOUT, Answering, MakeItem, NewFormat, refuse
from asof.serving.batch.work import BatchThread
from asof.serving.http import strict_json
from asof.serving.http.boundary import occurrence
from asof.serving.prediction.predictor import Prediction, Predictor

if TYPE_CHECKING:
    from asof.serving.prediction.live import LiveModel


@dataclass(frozen=True)
class Question:
    """The rows of a request, each as POST /predict takes it, and the format of the answer.

    `check` raises an AsOfError where the predictor that is live is not the one that was asked for.
    """

    rows: Sequence[Any]
    new_format: NewFormat
    make_item: MakeItem
    check: Callable[[Predictor], None] = lambda _: None


class Form(Protocol):
    """A protocol's requests; `kinds` are the media types of its bodies, as `read_body` takes them."""

    @property
    def kinds(self) -> Sequence[str]: ...

    def check(self, scope: Scope) -> None:
        """Raises an AsOfError or an HTTPException for a request whose body need not be read."""

    def read(self, body: bytes, scope: Scope) -> Question:
        """The question of a body; blocks for a large one. Raises an AsOfError or an HTTPException."""


class Endpoint:
    """The ASGI application; `state.live` must be set before the first request. `payload` is the type of a row.

    `thread` is that of the worker's batches.
    """

    def __init__(self, state: State, payload: type[BaseModel], form: Form, *, thread: BatchThread) -> None:
        self._state, self._payload, self._form, self._thread = state, payload, form, thread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A small body is read at once; a large one in a slot of the batches, which bound the memory."""
        live: LiveModel = self._state.live
        small = _is_small(scope)
        slot = live.worker.batch_limit.slot
        try:
            with nullcontext() if small else slot():
                question = await self._question(scope, receive, small=small)
                if len(question.rows) == 1:
                    await self._answer_one(live, question, scope, receive=receive, send=send)
                else:
                    with slot() if small else nullcontext():
                        await self._answer_many(live, question, scope, receive=receive, send=send)
        except (AsOfError, HTTPException) as error:
            if small:
                await (await refusal(live, error, scope, request=None))(scope, receive, send)
            else:
                await refuse(live, error, scope, receive=receive, send=send)
        except ClientDisconnect:
            return

    async def _question(self, scope: Scope, receive: Receive, *, small: bool) -> Question:
        self._form.check(scope)
        if small:
            return self._form.read(await strict_json.read_body(scope, receive, kinds=self._form.kinds), scope)
        limits: Any = {"max_bytes": batches.MAX_BODY_BYTES, "timeout": BODY_TIMEOUT}
        body = await strict_json.read_body(scope, receive, kinds=self._form.kinds, **limits)
        return await self._thread.run(partial(self._form.read, body, scope))

    async def _answer_one(
        self, live: "LiveModel", question: Question, scope: Scope, *, receive: Receive, send: Send
    ) -> None:
        async def read() -> BaseModel:
            question.check(live.select().predictor)
            return strict_json.validated(question.rows[0], self._payload)

        def write(predictor: Predictor, prediction: Prediction, request_id: str) -> bytes:
            written = question.make_item(Answered(predictor, prediction), predictor, occurrence(scope))
            encoding = question.new_format(predictor, request_id)
            return encoding.head() + encoding.chunk([{**written, KEPT: prediction.kept}]) + encoding.tail()

        response = await respond(live, scope, read, write=write)
        await response(scope, receive, send)

    async def _answer_many(
        self, live: "LiveModel", question: Question, scope: Scope, *, receive: Receive, send: Send
    ) -> None:
        requests = await self._thread.run(partial(batches.checked, question.rows, self._payload))
        charge(scope, len(requests) - 1)
        question.check(live.select().predictor)
        answering = Answering(self._thread, question.new_format, question.make_item)
        await answering.stream(live, requests, scope, receive=receive, send=send)


def _is_small(scope: Scope) -> bool:
    """Whether the body is declared to be no longer than one of /predict."""
    length = Headers(scope=scope).get("content-length", "")
    return length.isdecimal() and int(length) <= strict_json.MAX_BODY_BYTES
