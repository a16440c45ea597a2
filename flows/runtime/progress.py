"""Progress of long tasks: logged to `asof.progress`, shown beside the spinner; results as Prefect artifacts."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.status import Status

log = logging.getLogger("asof.progress")
log.propagate = False  # Prefect gives the root logger a console of its own


@contextmanager
def show_progress(status: Status, doing: str) -> Iterator[None]:
    """Shows each log record after `doing` in the status line while the block runs."""
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
        self.status.update(f"{self.doing} ... {record.getMessage()}")


def publish_table(key: str, rows: Iterable[Mapping[str, Any]], description: str) -> None:
    """Creates a table artifact; values without a JSON type become strings."""
    from prefect.artifacts import create_table_artifact

    create_table_artifact(key=key, table=json.loads(json.dumps(list(rows), default=str)), description=description)
