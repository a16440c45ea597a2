"""What all models of one worker share: the use case, its settings, what it counts and logs, the places for requests."""

from asof.model_facts import Lineage
from asof.serving.http.concurrency_limit import ConcurrencyLimit
from asof.serving.logs.answer_log import AnswerLog
from asof.serving.logs.metrics import Metrics
from asof.settings import Settings
from asof.use_case import UseCase

BATCHES = 2
"""At once: while one is read or sent, the other is worked on. More would only wait, each with its memory."""


class Worker:
    """One for each process: two sets of the same metrics would overwrite each other's files.

    `lineage` is what is told of it where it has no model: the name that its models are registered under, and its Bento.
    """

    def __init__(self, settings: Settings, use_case: UseCase, *, bento: str) -> None:
        self.settings, self.use_case, self.metrics = settings, use_case, Metrics()
        self.lineage = Lineage(use_case.model_name, None, "", bento)
        self.answer_log = AnswerLog(settings.answer_log)
        self.concurrency_limit, self.batches = ConcurrencyLimit(settings.max_in_flight), ConcurrencyLimit(BATCHES)
