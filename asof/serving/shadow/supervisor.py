"""Keeps the challenger's process running beside the workers, and reports its state as metrics."""

import time
from pathlib import Path

from asof.serving.ledger.companion import LOOK_SECONDS, Companion
from asof.serving.logs.metrics import ShadowMetrics
from asof.serving.shadow.state import State, Status, lock_file, read_state, state_file, workers_file
from asof.settings import Settings

LONGEST_PAUSE = 60.0
"""Before a process that ends again and again is started once more."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Its budget is of one processor."""


class Shadow(Companion):
    """One for each worker. `arguments` are those of `python -m asof.serving.shadow` but `--lock`."""

    def __init__(self, settings: Settings, model_name: str, arguments: list[str]) -> None:
        self._folder, self._name, self._arguments = settings.ledger_folder, model_name, arguments
        super().__init__(workers_file(self._folder, model_name), title="The shadow's process")
        self._metrics = ShadowMetrics()
        self._pause, self._not_before = LOOK_SECONDS, 0.0

    @property
    def state(self) -> State | None:
        """What the process wrote down last."""
        return read_state(state_file(self._folder, self._name))

    def look(self) -> None:
        """One that ends again and again is started after longer and longer pauses."""
        now, lock = time.monotonic(), lock_file(self._folder, self._name)
        if now >= self._not_before and self.ensure(lock, "asof.serving.shadow", *self._arguments, **ONE_THREAD):
            soon = now - self._not_before < LONGEST_PAUSE
            self._pause = min(2 * self._pause, LONGEST_PAUSE) if soon else LOOK_SECONDS
            self._not_before = now + self._pause
        self._report()

    def _report(self) -> None:
        if state := self.state:
            self._metrics.scores.labels("scored").set(state.scored)
            self._metrics.scores.labels("failed").set(state.failed)
            for reason, count in state.dropped.items():
                self._metrics.dropped.labels(reason).set(count)
            self._metrics.paused.set(state.status == Status.PAUSED)


def cache_folder(shared: Path) -> Path:
    """Where models of the challenger are, in the folder that the workers share."""
    folder = shared / "shadow"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
