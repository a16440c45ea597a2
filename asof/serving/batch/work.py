"""Processes a batch in chunks: looks up, scores, and lets the standby answer what the model fails at.

While one chunk is scored in a thread, the next is looked up; between two steps the event loop answers other requests.
The whole batch is answered by the predictor that was live on its arrival.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pydantic import BaseModel

from asof.errors import InvalidRequest, ServingError
from asof.serving.batch.instances import Instance
from asof.serving.batch.outcomes import Answered, outcomes
from asof.serving.features.inputs import PendingInputs
from asof.serving.prediction.live import LiveModel
from asof.serving.prediction.predictor import Prediction, Predictor

logger = logging.getLogger("asof.serving")

Result = TypeVar("Result")

CHUNK_SIZE = 1000
"""Instances that are looked up by one query and scored by one call."""
SWITCH_SECONDS = 0.001
"""Python's thread switch interval. With the default of 5 ms, a single prediction waits several times that long."""


class BatchThread:
    """One thread for all batches: single predictions need the other processors."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "batch", sys.setswitchinterval, (SWITCH_SECONDS,))

    async def run(self, work: Callable[[], Result]) -> Result:
        """The result of `work()` in the thread. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


class Batch:
    """One batch request. An error that refuses its first chunk is raised; a later one is an outcome of instances."""

    def __init__(self, live: LiveModel, thread: BatchThread, *, request_id: str) -> None:
        """Raises NotReady."""
        self.assigned = live.select()
        self._live, self._thread, self._request_id = live, thread, request_id
        self._first_failure: Exception | None = None
        self._failed = 0

    async def chunks(self, instances: Sequence[Instance]) -> AsyncGenerator[list[Answered], None]:
        """The instances' outcomes, in order, chunk by chunk.

        Raises the store's error where the first chunk cannot be looked up; a later one is the outcome of all remaining
        instances.
        """
        parts = [instances[start : start + CHUNK_SIZE] for start in range(0, len(instances), CHUNK_SIZE)]
        done = 0
        try:
            with self._predictors_in_use():
                async with contextlib.aclosing(self._answers(parts)) as answers:
                    async for answered in answers:
                        done += 1
                        yield answered
        except Exception as error:
            if not done:
                raise
            for part in parts[done:]:
                yield self._unanswered(part, error)
        finally:
            self._log_failures()

    @contextlib.contextmanager
    def _predictors_in_use(self) -> Iterator[None]:
        """Keeps the features of both predictors open."""
        with contextlib.ExitStack() as stack:
            for each in filter(None, (self.assigned.predictor, self.assigned.standby)):
                stack.enter_context(each.in_use())
            yield

    async def _answers(self, parts: Sequence[Sequence[Instance]]) -> AsyncGenerator[list[Answered], None]:
        lookup = asyncio.create_task(self._look_up(parts[0]))
        try:
            for part, next_part in zip(parts, [*parts[1:], []], strict=True):
                pending = await lookup
                lookup = asyncio.create_task(self._look_up(next_part))
                yield await self._answered(part, pending)
        finally:
            await asyncio.wait({lookup})  # it has a timeout; the connection is usable only after its end
            lookup.exception()

    async def _look_up(self, part: Sequence[Instance]) -> PendingInputs | None:
        valid = _valid(part)
        return await self.assigned.predictor.look_up(valid) if valid else None

    async def _answered(self, part: Sequence[Instance], pending: PendingInputs | None) -> list[Answered]:
        answers = iter(await self._predict(_valid(part), pending) if pending else ())
        predictor = self.assigned.predictor
        return [Answered(predictor, each) if isinstance(each, InvalidRequest) else next(answers) for each in part]

    async def _predict(self, requests: Sequence[BaseModel], pending: PendingInputs) -> list[Answered]:
        answers = await self._score(self.assigned.predictor, requests, pending)
        self.assigned.record_answers(_predictions(answers))
        failed = [index for index, each in enumerate(answers) if each.failure]
        standby = self.assigned.standby
        if failed and standby:
            others = await self._from_standby(standby, [requests[index] for index in failed])
            error = answers[failed[-1]].failure
            if error and (count := _predictions(others)):  # what both fail at does not count against the new model
                self._live.record_failures(self.assigned, error, count)
            for index, each in zip(failed, others, strict=True):
                answers[index] = each
        return self._noted(answers)

    async def _from_standby(self, standby: Predictor, requests: Sequence[BaseModel]) -> list[Answered]:
        try:
            pending = await standby.look_up(requests)
        except ServingError as error:
            return [Answered(standby, error)] * len(requests)
        return await self._score(standby, requests, pending)

    async def _score(
        self, predictor: Predictor, requests: Sequence[BaseModel], pending: PendingInputs
    ) -> list[Answered]:
        def answered() -> list[Answered]:
            inputs = pending()
            every = outcomes(predictor, requests, inputs)
            return [Answered(predictor, each, inputs.read, row) for row, each in enumerate(every)]

        return await self._thread.run(answered)

    def _unanswered(self, part: Sequence[Instance], error: Exception) -> list[Answered]:
        every = (each if isinstance(each, InvalidRequest) else error for each in part)
        return self._noted([Answered(self.assigned.predictor, each) for each in every])

    def _noted(self, answers: list[Answered]) -> list[Answered]:
        """Counts the failures and keeps the first, for one line in the log."""
        failures = [each.failure for each in answers if each.failure]
        self._first_failure = self._first_failure or next(iter(failures), None)
        self._failed += len(failures)
        return answers

    def _log_failures(self) -> None:
        if self._first_failure:
            logger.error(
                "Request %s: %d instances of its batch failed, the first of them by:",
                self._request_id,
                self._failed,
                exc_info=self._first_failure,
            )


def _valid(part: Sequence[Instance]) -> list[BaseModel]:
    return [each for each in part if isinstance(each, BaseModel)]


def _predictions(answers: Sequence[Answered]) -> int:
    return sum(isinstance(each.outcome, Prediction) for each in answers)
