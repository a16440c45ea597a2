"""POST /outcomes in plain ASGI, as `asof.serving.batch.predict_batch`."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from asof.errors import AsOfError
from asof.ledger.outcomes.record import Result, Verdict
from asof.serving.access.rate_limits import charge
from asof.serving.batch.instances import MAX_BODY_BYTES, read_list
from asof.serving.batch.predict_batch import BODY_TIMEOUT
from asof.serving.batch.work import BatchThread
from asof.serving.http.boundary import explain, occurrence, problem_response
from asof.serving.http.concurrency_limit import ConcurrencyLimit
from asof.serving.http.strict_json import JSON, read_body
from asof.serving.logs.access_log import KEY
from asof.serving.outcomes.writer import OutcomeWriter

if TYPE_CHECKING:
    from asof.serving.prediction.live import LiveModel

MAX_REQUESTS = 2
"""Concurrent ones: one is written while the other is read."""


class OutcomesDocument(BaseModel):
    """The form of every body; the items are judged one by one."""

    model_config = ConfigDict(extra="forbid")

    outcomes: list[Any] = Field(min_length=1)


class PostOutcomes:
    """The ASGI application of the path; `state.live` must be set before the first request."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._limit, self._thread = ConcurrencyLimit(MAX_REQUESTS), BatchThread()

    @cached_property
    def _writer(self) -> OutcomeWriter:
        live: LiveModel = self._state.live
        return OutcomeWriter(live.worker.settings, live.worker.use_case)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._limit.slot():
                response = await self._answer(scope, receive)
        except (AsOfError, HTTPException) as error:
            response = problem_response(*explain(error, scope))
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        body = await read_body(scope, receive, max_bytes=MAX_BODY_BYTES, timeout=BODY_TIMEOUT)
        items = await self._thread.run(partial(read_list, body, OutcomesDocument, "outcomes"))
        charge(scope, len(items) - 1)
        results = await self._writer.write(items, source_of(scope))
        return Response(self._body(results, occurrence(scope).request_id), media_type=JSON)

    def _body(self, results: Sequence[Result], request_id: str) -> bytes:
        counts = Counter(each.verdict for each in results)
        live: LiveModel = self._state.live
        for verdict, count in counts.items():
            live.worker.metrics.outcomes.labels(str(verdict)).inc(count)
        answers = [{"verdict": each.verdict, **({"reason": each.reason} if each.reason else {})} for each in results]
        return to_json({"request_id": request_id, **{each: counts[each] for each in Verdict}, "outcomes": answers})


def source_of(scope: Scope) -> str:
    """Who reports: `api:` and the name of the API key, or `api` where none is needed."""
    key = scope["state"].get(KEY)
    return f"api:{key}" if key else "api"
