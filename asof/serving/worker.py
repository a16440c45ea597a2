"""What all models of one worker share: its settings, what it counts and logs, and the places for requests."""

from collections.abc import Iterator
from contextlib import contextmanager

from asof.errors import Overloaded
from asof.serving.answer_log import AnswerLog
from asof.serving.metrics import Metrics
from asof.settings import Settings


class Worker:
    """One for each process: two sets of the same metrics would overwrite each other's files."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.answer_log = AnswerLog(settings.answer_log)
        self._in_flight = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A request's place for the time of a block. Raises Overloaded where all are taken."""
        if self._in_flight >= self.settings.max_in_flight:
            raise Overloaded(f"{self._in_flight} requests are in flight, as many as one worker takes: try again.")
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
