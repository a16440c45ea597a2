"""Progress of long tasks: logged to `asof.progress`, shown beside the spinner."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.status import Status

log = logging.getLogger("asof.progress")
log.propagate = False  # Prefect gives the root logger a console of its own


@contextmanager
def show_progress(status: Status, doing: str) -> Iterator[None]:
    """Shows each log record after `doing` in the status line while the block runs; a warning stays, on stderr."""
    with _handled_by(_StatusHandler(status, doing)):
        yield


@contextmanager
def print_progress(console: Console, doing: str) -> Iterator[None]:
    """Prints each log record with the seconds since the block began."""
    with _handled_by(_LineHandler(console, doing)):
        yield


@contextmanager
def hide_progress() -> Iterator[None]:
    """Shows nothing of the log records of the block."""
    with _handled_by(logging.NullHandler()):
        yield


@contextmanager
def _handled_by(handler: logging.Handler) -> Iterator[None]:
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _LineHandler(logging.Handler):
    def __init__(self, console: Console, doing: str) -> None:
        super().__init__()
        self.console, self.doing, self.begun = console, doing, monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{monotonic() - self.begun:6.1f} s  {self.doing}: {record.getMessage()}"
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


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
