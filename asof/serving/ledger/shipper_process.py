"""Keeps a shipper running beside the workers, and reports its state as metrics."""

import json
import time
from pathlib import Path

from asof.ledger.spool.segments import set_aside
from asof.ledger.spool.shipper import LOCK, STATE, WORKERS, State
from asof.ledger.spool.writer import spool_bytes
from asof.serving.ledger.companion import Companion
from asof.serving.logs.metrics import LedgerMetrics
from asof.settings import Settings

SILENT_SECONDS = 10.0
"""A shipper that has not reported for so long is not running, or hangs."""


class ShipperProcess(Companion):
    """One for each worker."""

    def __init__(self, settings: Settings) -> None:
        self._folder, self._ships = settings.ledger_folder, settings.ledger_ship
        super().__init__(self._folder / WORKERS, title="The ledger's shipper")
        self._metrics = LedgerMetrics()

    def look(self) -> None:
        if self._ships:
            self.ensure(self._folder / LOCK, "asof.serving.ledger")
        self._report()

    def _report(self) -> None:
        state = read_state(self._folder)
        if state is None:
            return
        now = time.time()
        silent = now - state.looked_at > SILENT_SECONDS
        waiting = spool_bytes(self._folder) if state.error or silent else state.waiting_bytes
        oldest_at = state.oldest_at or (int(state.looked_at * 1e6) if silent and waiting else None)
        lag = max(now - oldest_at / 1e6, 0) if oldest_at else 0
        self._metrics.shipped.set(state.rows)
        self._metrics.lag.set(lag)
        self._metrics.waiting.set(waiting)
        self._metrics.quarantined.set(len(set_aside(self._folder)))


def read_state(folder: Path) -> State | None:
    """The state of the shipper of a spool; None where there was none."""
    try:
        return State(**json.loads((folder / STATE).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
