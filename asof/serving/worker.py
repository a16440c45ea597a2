"""What all models of one worker share: its settings, what it counts and logs, and the places for requests."""

from asof.serving.answer_log import AnswerLog
from asof.serving.metrics import Metrics
from asof.serving.places import Places
from asof.settings import Settings

BATCHES = 2
"""At once: while one is read or sent, the other is worked on. More would only wait, each with its memory."""


class Worker:
    """One for each process: two sets of the same metrics would overwrite each other's files."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.answer_log = AnswerLog(settings.answer_log)
        self.places, self.batches = Places(settings.max_in_flight), Places(BATCHES)
