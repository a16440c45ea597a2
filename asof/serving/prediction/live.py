"""The model that answers, and the previous one, which stands by during the new one's probation.

A request is assigned the model that is live when it arrives. For some seconds after a swap, requests at which the new
model fails are answered by the previous one; where it fails too often, the swap is reverted.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from asof.errors import NotReady, RequestError, ServingError
from asof.model_facts import Lineage
from asof.serving.prediction.memory import settle
from asof.serving.prediction.predictor import Mark, Prediction, Predictor
from asof.serving.prediction.worker import Worker

logger = logging.getLogger("asof.serving")

MIN_FAILURES, MAX_FAILURE_RATE = 3, 0.01
"""A swap is reverted after at least so many failures, and more than this share of the new model's requests, which the
previous model answered: one odd row does not undo a promotion."""

START_POLL_SECONDS = 0.02


@dataclass
class Probation:
    """The time after a swap: its end (monotonic seconds), the previous model, and the new one's results."""

    until: float
    standby: Predictor
    answered: int = 0
    failed: int = 0

    @property
    def over(self) -> bool:
        return time.monotonic() > self.until

    @property
    def lost(self) -> bool:
        """Whether the new model failed too often."""
        return self.failed >= MIN_FAILURES and self.failed > MAX_FAILURE_RATE * (self.failed + self.answered)


@dataclass(frozen=True, slots=True)
class Assignment:
    """The predictor of one request or batch, and the probation, both as they were on its arrival."""

    predictor: Predictor
    probation: Probation | None

    @property
    def standby(self) -> Predictor | None:
        """The predictor for requests at which the assigned one fails; None without a probation, or after its end."""
        return None if self.probation is None or self.probation.over else self.probation.standby

    def record_answers(self, count: int = 1) -> None:
        if self.probation:
            self.probation.answered += count


class LiveModel:
    """The model of a worker; `predictor` is None where there is none yet. `since` is the moment of the last swap.

    `settled`: it is known which model is to answer. `reason()` says why there is none, where more is known than that
    none was promoted; `on_revert` is called with the failed predictor and the reason.
    """

    def __init__(self, worker: Worker, predictor: Predictor | None = None, *, settled: bool = True) -> None:
        self.worker, self.predictor = worker, predictor
        self.previous: Predictor | None = None
        self.settled = settled
        self.reason: Callable[[], str] = str
        self.since = datetime.now(UTC)
        self.on_revert: Callable[[Predictor, str], None] | None = None
        self._probation: Probation | None = None

    @property
    def ready(self) -> bool:
        """Whether it is known which model is to answer, and that model is loaded."""
        return self.settled and self.predictor is not None

    @property
    def current(self) -> Predictor:
        """The predictor. Raises NotReady where there is none."""
        if self.predictor is None:
            raise self.not_ready()
        return self.predictor

    @property
    def predictors(self) -> tuple[Predictor, ...]:
        """The predictor and the previous one, as far as there are any."""
        return tuple(filter(None, (self.predictor, self.previous)))

    @property
    def answer_source(self) -> Predictor | Worker:
        """What the ledger names as the source of a refusal: the predictor, or the worker without one."""
        return self.predictor or self.worker

    @property
    def lineage(self) -> Lineage:
        """That of the predictor, or of the worker without one."""
        return self.answer_source.lineage

    def start(self) -> None:
        """Starts to open the features' source. Raises ConfigurationError where it is not set."""
        for each in self.predictors:
            each.start().add_done_callback(lambda _: settle())

    async def wait_until_ready(self, seconds: float) -> None:
        """Waits until the model answers and its features can be read, or it is known that there is no model.

        Gives up after so many seconds.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not await self._answers():
                    await asyncio.sleep(START_POLL_SECONDS)

    async def _answers(self) -> bool:
        if self.settled and self.predictor is None:
            return True
        try:
            await self.select().predictor.check()
        except ServingError:
            return False
        return True

    async def predict(self, request: BaseModel, mark: Mark) -> tuple[Predictor, Prediction]:
        """The prediction and its predictor. Raises NotReady, and what `Predictor.predict` raises.

        A failure counts against a new model only where the previous one answers the same request.
        """
        assigned = self.select()
        try:
            prediction = await assigned.predictor.predict(request, mark)
        except (RequestError, ServingError):
            raise
        except Exception as error:
            standby = assigned.standby
            if standby is None:
                raise
            prediction = await standby.predict(request, mark)
            self.record_failures(assigned, error)
            return standby, prediction
        assigned.record_answers()
        return assigned.predictor, prediction

    def select(self) -> Assignment:
        """The assignment of a request that arrives now. Raises NotReady."""
        if self.predictor is None or not self.settled:
            raise self.not_ready()
        return Assignment(self.predictor, self._probation)

    def not_ready(self, **extra: Any) -> NotReady:
        """The error while there is no model. Its problem document has `settled` (false: retry shortly) and `extra`."""
        if self.settled:
            name = self.worker.lineage.name
            text = self.reason() or f"No version of {name} has been loaded yet: promote one, and see GET /model."
        else:
            text = "The production version is not known yet; retry shortly."
        return NotReady(text, settled=self.settled, **extra)

    def swap(self, new: Predictor, *, probation_seconds: float = 0) -> Predictor | None:
        """Makes the new predictor live; returns the one that is no longer needed."""
        dropped = self.previous if self.previous is not new else None
        self.previous, self.predictor, self.since = self.predictor, new, datetime.now(UTC)
        until = time.monotonic() + probation_seconds
        self._probation = Probation(until, self.previous) if self.previous and probation_seconds else None
        return dropped

    def revert(self) -> Predictor:
        """Makes the previous predictor live again; returns the one that it replaces."""
        dropped = self.current
        assert self.previous is not None  # noqa: S101 - callers check it
        self.predictor, self.previous = self.previous, None
        self.since, self._probation = datetime.now(UTC), None
        return dropped

    def withdraw(self) -> tuple[Predictor, ...]:
        """Leaves no model live; returns the predictors that are no longer needed."""
        dropped = self.predictors
        self.predictor, self.previous, self._probation = None, None, None
        return dropped

    async def close(self) -> None:
        """Closes the features' sources."""
        for each in {predictor.features for predictor in self.predictors}:
            await each.close()

    def record_failures(self, assigned: Assignment, error: Exception, count: int = 1) -> None:
        """Records `count` failures of the assigned predictor, the last by `error`, which the standby answered.

        Reverts the swap where that is too many.
        """
        probation, failed = assigned.probation, assigned.predictor
        assert probation is not None  # noqa: S101 - without one there is no standby
        probation.failed += count
        logger.warning(
            "Version %s failed at %s, version %s answered.",
            failed.lineage.version,
            "a request" if count == 1 else f"{count} instances",
            probation.standby.lineage.version,
            exc_info=error,
        )
        if probation is self._probation and probation.lost:
            total = probation.failed + probation.answered
            self.revert()
            if self.on_revert:
                self.on_revert(failed, f"it failed at {probation.failed} of {total} requests, the last by {error!r}")
