"""The model that answers, and the one before it, which takes over where the new one fails at what it could do.

A request takes the model that is live when it comes and keeps it to its end. In the seconds after a swap a request that
makes the new model fail is answered by the one before: nobody is refused while it shows whether the new one is good.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from asof.errors import NotReady, RequestError, ServingError
from asof.model_facts import Lineage
from asof.serving.logs.answer_log import AnswerSource
from asof.serving.prediction.memory import settle
from asof.serving.prediction.predictor import Prediction, Predictor
from asof.serving.prediction.worker import Worker

logger = logging.getLogger("asof.serving")

FEWEST, SHARE = 3, 0.01
"""A new model goes once it failed at so many requests, and at more than this share of its own, which the one before it
answered. One odd row does not undo a promotion; a model that fails at one request in a hundred is worse than its
predecessor, whatever the gate said."""


@dataclass
class Probation:
    """The time after a swap: until when (monotonic seconds), which model stands by, and how the new one does."""

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
        return self.failed >= FEWEST and self.failed > SHARE * (self.failed + self.answered)


@dataclass(frozen=True, slots=True)
class Turn:
    """Who answers a request, or all of a batch: who was live when it came, and the probation of that moment."""

    predictor: Predictor
    probation: Probation | None

    @property
    def standby(self) -> Predictor | None:
        """Who answers what the predictor fails at; None where there is no probation, or its time is over."""
        return None if self.probation is None or self.probation.over else self.probation.standby

    def answered(self, count: int = 1) -> None:
        """Counts what the predictor could answer."""
        if self.probation:
            self.probation.answered += count


NOTHING = "No version of {name} has been taken over yet: promote one, and see GET /model."


class Live:
    """`who` answers: None where the worker begins without a model. `since` is the moment of the last swap.

    `settled` is False until it is known which model is to answer; `why` says why none does, where more is known than
    `NOTHING`.
    """

    def __init__(self, worker: Worker, own: Predictor | None = None, *, settled: bool = True) -> None:
        self.worker, self.who = worker, own
        self.previous: Predictor | None = None
        self.settled = settled
        self.why: Callable[[], str] = str
        self.since = datetime.now(UTC)
        self.on_return: Callable[[Predictor, str], None] | None = None
        self._probation: Probation | None = None

    @property
    def ready(self) -> bool:
        """Whether it is known which model is to answer, and that one is here."""
        return self.settled and self.who is not None

    @property
    def current(self) -> Predictor:
        """Who answers. Raises NotReady where nobody does."""
        if self.who is None:
            raise self.not_ready()
        return self.who

    @property
    def open(self) -> tuple[Predictor, ...]:
        """The models at hand: the one that answers, and the one before it."""
        return tuple(filter(None, (self.who, self.previous)))

    @property
    def answering(self) -> AnswerSource:
        """Whom an answer log names for a refusal: the model, or else the worker that has none."""
        return self.who or self.worker

    @property
    def lineage(self) -> Lineage:
        """That of the model, or else of the worker that has none."""
        return self.answering.lineage

    def start(self) -> None:
        """Begins to open what the features come from. Raises ConfigurationError if that is not set."""
        for each in self.open:
            each.start().add_done_callback(lambda _: settle())

    async def predict(self, request: BaseModel) -> tuple[Predictor, Prediction]:
        """The prediction, and the predictor that made it. Raises NotReady, and what `Predictor.predict` does.

        A failure counts against a new model only where the one before it can answer: what both cannot do is no fault
        of the new one.
        """
        turn = self.turn()
        try:
            made = await turn.predictor.predict(request)
        except (RequestError, ServingError):
            raise
        except Exception as error:
            standby = turn.standby
            if standby is None:
                raise
            made = await standby.predict(request)
            self.blame(turn, error)
            return standby, made
        turn.answered()
        return turn.predictor, made

    def turn(self) -> Turn:
        """Who answers what comes now. Raises NotReady."""
        if self.who is None or not self.settled:
            raise self.not_ready()
        return Turn(self.who, self._probation)

    def not_ready(self, **extra: Any) -> NotReady:
        """Why nobody answers. The problem document gets `extra`, and `settled`: that waiting alone is of no use."""
        if self.settled:
            why = self.why() or NOTHING.format(name=self.worker.lineage.name)
        else:
            why = "Nobody has said yet which model is in Production: try again."
        return NotReady(why, settled=self.settled, **extra)

    def swap(self, new: Predictor, *, probation_seconds: float = 0) -> Predictor | None:
        """The new one answers from the next request on; gives the one that is not needed any more."""
        dropped = self.previous if self.previous is not new else None
        self.previous, self.who, self.since = self.who, new, datetime.now(UTC)
        until = time.monotonic() + probation_seconds
        self._probation = Probation(until, self.previous) if self.previous and probation_seconds else None
        return dropped

    def go_back(self) -> Predictor:
        """The one before answers again; gives the one that goes."""
        dropped = self.current
        assert self.previous is not None  # noqa: S101 - asked only where one stands by
        self.who, self.previous = self.previous, None
        self.since, self._probation = datetime.now(UTC), None
        return dropped

    def withdraw(self) -> tuple[Predictor, ...]:
        """Nobody answers from the next request on; gives the models that are not needed any more."""
        dropped = self.open
        self.who, self.previous, self._probation = None, None, None
        return dropped

    async def close(self) -> None:
        """Closes what the features of both come from."""
        for each in {predictor.features for predictor in self.open}:
            await each.close()

    def blame(self, turn: Turn, error: Exception, count: int = 1) -> None:
        """The predictor failed at `count` requests, the last by `error`, and the one that stood by answered them."""
        probation, failed = turn.probation, turn.predictor
        assert probation is not None  # noqa: S101 - without one nobody stands by
        probation.failed += count
        logger.warning(
            "Version %s failed at %s, version %s answered.",
            failed.lineage.version,
            "a request" if count == 1 else f"{count} instances",
            probation.standby.lineage.version,
            exc_info=error,
        )
        if probation is self._probation and probation.lost:
            asked = probation.failed + probation.answered
            self.go_back()
            if self.on_return:
                self.on_return(failed, f"it failed at {probation.failed} of {asked} requests, the last by {error!r}")
