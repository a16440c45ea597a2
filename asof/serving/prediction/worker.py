"""What all models of one worker share: use case, settings, metrics, answer log and concurrency limits."""

from asof.model_facts import Lineage
from asof.serving.http.concurrency_limit import ConcurrencyLimit
from asof.serving.logs.answer_log import AnswerLog
from asof.serving.logs.metrics import Metrics
from asof.settings import Settings
from asof.use_case import UseCase

MAX_BATCHES = 2
"""Concurrent batches: one is scored while the other is read or sent. More would only wait and occupy memory."""


class Worker:
    """One for each process: a second set of the same metrics would overwrite its files.

    `lineage` describes a worker without a model: the registered model's name, and the Bento.
    """

    def __init__(self, settings: Settings, use_case: UseCase, *, bento: str) -> None:
        self.settings, self.use_case, self.metrics = settings, use_case, Metrics()
        self.lineage = Lineage(use_case.model_name, None, "", bento)
        self.answer_log = AnswerLog(settings.answer_log)
        self.concurrency_limit = ConcurrencyLimit(settings.max_in_flight)
        self.batch_limit = ConcurrencyLimit(MAX_BATCHES)
