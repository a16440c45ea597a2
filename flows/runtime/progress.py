"""Where long work stands: tasks say it on one logger; a terminal shows the newest line beside its spinner."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.status import Status

log = logging.getLogger("asof.progress")
log.propagate = False  # Prefect gives the root logger a console of its own


@contextmanager
def shown(status: Status, doing: str) -> Iterator[None]:
    """Shows each line of the logger behind the words `doing` for the time of a block."""
    handler = _Beside(status, doing)
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _Beside(logging.Handler):
    def __init__(self, status: Status, doing: str) -> None:
        super().__init__()
        self.status, self.doing = status, doing

    def emit(self, record: logging.LogRecord) -> None:
        self.status.update(f"{self.doing} ... {record.getMessage()}")


def publish(key: str, rows: Iterable[Mapping[str, Any]], description: str) -> None:
    """One table; what JSON does not know (a moment, say) becomes text."""
    from prefect.artifacts import create_table_artifact

    create_table_artifact(key=key, table=json.loads(json.dumps(list(rows), default=str)), description=description)
