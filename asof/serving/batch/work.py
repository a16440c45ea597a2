"""A batch at work: instances -> chunks of answered instances, one after another.

While one chunk is scored in a thread, the store looks up the next; between two steps the event loop answers others. All
of a batch is answered by the predictor that was live when it came.
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
from asof.serving.batch.outcomes import Answered, Outcome, failures, outcomes
from asof.serving.features.inputs import Inputs
from asof.serving.prediction.live import Live
from asof.serving.prediction.predictor import Prediction, Predictor

Result = TypeVar("Result")


SWITCH = 0.001
"""Seconds after which the event loop gets the interpreter from the thread. By Python's default, 5 ms, whoever waits for
a prediction waits so long several times over."""


class Aside:
    """One thread, however many batches there are: single predictions need the other processors."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "batch", sys.setswitchinterval, (SWITCH,))

    async def run(self, work: Callable[[], Result]) -> Result:
        """The work's result. Raises whatever it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


logger = logging.getLogger("asof.serving")

CHUNK = 1000
"""Instances that are looked up by one query and scored by one call."""

Judge = Callable[[], Inputs]


class Batch:
    """One request for many. What refuses its first chunk is raised; what goes wrong later is an outcome."""

    def __init__(self, live: Live, aside: Aside, *, request_id: str) -> None:
        """Raises NotReady."""
        self.turn = live.turn()
        self._live, self._aside, self._request_id = live, aside, request_id
        self._first_failure: Exception | None = None
        self._failed = 0

    async def chunks(self, instances: Sequence[Instance]) -> AsyncGenerator[list[Answered], None]:
        """The instances' outcomes, in their order, chunk by chunk.

        Raises what the store raises where it cannot look the first chunk up. Where it fails later, that is the outcome
        of every instance that is left.
        """
        parts = [instances[start : start + CHUNK] for start in range(0, len(instances), CHUNK)]
        done = 0
        try:
            with self._in_use():
                async with contextlib.aclosing(self._answers(parts)) as answers:
                    async for answered in answers:
                        done += 1
                        yield answered
        except Exception as error:
            if not done:
                raise
            for part in parts[done:]:
                yield self._left(part, error)
        finally:
            self._log_failures()

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        """Nobody closes the features of those who may be asked."""
        with contextlib.ExitStack() as stack:
            for each in filter(None, (self.turn.predictor, self.turn.standby)):
                stack.enter_context(each.in_use())
            yield

    async def _answers(self, parts: Sequence[Sequence[Instance]]) -> AsyncGenerator[list[Answered], None]:
        ahead = asyncio.create_task(self._look_up(parts[0]))
        try:
            for part, after in zip(parts, [*parts[1:], []], strict=True):
                judge = await ahead
                ahead = asyncio.create_task(self._look_up(after))
                yield await self._answered(part, judge)
        finally:
            await asyncio.wait({ahead})  # it has a deadline of its own, and the connection is good only after its end
            ahead.exception()

    async def _look_up(self, part: Sequence[Instance]) -> Judge | None:
        valid = _valid(part)
        return await self.turn.predictor.read_many(valid) if valid else None

    async def _answered(self, part: Sequence[Instance], judge: Judge | None) -> list[Answered]:
        asked = iter(await self._ask(_valid(part), judge) if judge else ())
        predictor = self.turn.predictor
        return [Answered(predictor, each) if isinstance(each, InvalidRequest) else next(asked) for each in part]

    async def _ask(self, requests: Sequence[BaseModel], judge: Judge) -> list[Answered]:
        made = await self._asked(self.turn.predictor, requests, judge)
        self.turn.answered(sum(isinstance(each.outcome, Prediction) for each in made))
        failed = failures(made)
        standby = self.turn.standby
        if failed and standby:
            others = await self._stand_by(standby, [requests[place] for place in failed])
            self._blame(made[failed[-1]].outcome, others)
            for place, each in zip(failed, others, strict=True):
                made[place] = each
        return self._noted(made)

    async def _stand_by(self, standby: Predictor, requests: Sequence[BaseModel]) -> list[Answered]:
        try:
            judge = await standby.read_many(requests)
        except ServingError as error:
            return [Answered(standby, error)] * len(requests)
        return await self._asked(standby, requests, judge)

    def _blame(self, error: Outcome, others: Sequence[Answered]) -> None:
        """What both cannot do is no fault of the new one."""
        count = sum(isinstance(each.outcome, Prediction) for each in others)
        if count and isinstance(error, Exception):
            self._live.blame(self.turn, error, count)

    async def _asked(self, predictor: Predictor, requests: Sequence[BaseModel], judge: Judge) -> list[Answered]:
        made = await self._aside.run(lambda: outcomes(predictor, requests, judge()))
        return [Answered(predictor, each) for each in made]

    def _left(self, part: Sequence[Instance], error: Exception) -> list[Answered]:
        outcomes = (each if isinstance(each, InvalidRequest) else error for each in part)
        return self._noted([Answered(self.turn.predictor, each) for each in outcomes])

    def _noted(self, made: list[Answered]) -> list[Answered]:
        """Keeps of all failures their number and the first, for one line in the log."""
        failed = failures(made)
        if failed and self._first_failure is None:
            first = made[failed[0]].outcome
            self._first_failure = first if isinstance(first, Exception) else None
        self._failed += len(failed)
        return made

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
