"""Progress of long tasks: logged to `asof.progress`, shown beside the spinner."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

log = logging.getLogger("asof.progress")
log.propagate = False  # Prefect gives the root logger a console of its own


@contextmanager
def show_progress(status: Status, doing: str) -> Iterator[None]:
    """Shows each log record after `doing` in the status line while the block runs; a warning stays, on stderr."""
    handler = _StatusHandler(status, doing)
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _StatusHandler(logging.Handler):
    def __init__(self, status: Status, doing: str) -> None:
        super().__init__()
        self.status, self.doing = status, doing

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self._print(record.getMessage())
        else:
            self.status.update(f"{self.doing} ... {record.getMessage()}")

    def _print(self, line: str) -> None:
        """Prints a line that stays, on stderr; a spinner would be torn by it."""
        self.status.stop()
        Console(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)
        self.status.start()
