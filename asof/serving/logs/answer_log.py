"""Each answer of /predict -> one line of JSON in the file ASOF_ANSWER_LOG, for `python -m flows trace`.

A line tells who was asked about and which model answered: no feature value, no probability. Several workers append
whole lines to one file; it may be moved away at any time (logrotate), and is then made anew.
"""

import contextlib
import logging
import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any, Protocol

from pydantic_core import to_json

from asof.model_facts import Lineage
from asof.serving.logs.json_lines import Lines
from asof.use_case import UseCase

logger = logging.getLogger("asof.serving")

Facts = Mapping[str, Any]
MOMENTS = ("as_of", "as_of_features")
"""The members of an answer that say how old its values are."""


class Answering(Protocol):
    """The model that answers, a Predictor; or the Worker, where it has none yet."""

    use_case: UseCase
    lineage: Lineage


Line = tuple[str, Answering, Facts]
"""An answer's id, the model that answers, and what else is told: `answer_facts`, or status, code and entity."""


class AnswerLog:
    """One for each worker; without a path nothing is written. Nothing that goes wrong here fails a request."""

    def __init__(self, path: Path | None) -> None:
        self._file = _File(path) if path else None
        self._lines = Lines(self._file.append) if self._file else None

    def answered(self, request_id: str, predictor: Answering, *, entity: Any, evidence: Mapping[str, Any]) -> None:
        """`entity` is None where the features came in the request; `evidence` as in a Prediction."""
        if self._lines:
            self._lines.add(_line(request_id, predictor, answer_facts(entity, evidence)))

    def refused(self, request_id: str, predictor: Answering, *, status: int, code: str, entity: Any) -> None:
        """`predictor` is who would have answered; `entity` is None where none was named, or none is known."""
        if self._lines:
            self._lines.add(_line(request_id, predictor, {"status": status, "code": code, "entity": entity}))

    def batch(self, lines: Callable[[], Sequence[Line]]) -> Callable[[], None]:
        """Makes the lines of many answers, in whatever thread; the result writes them, in the event loop."""
        log = self._lines
        if log is None:
            return lambda: None
        text = "\n".join(_line(*each) for each in lines())
        return lambda: log.add(text)

    def close(self) -> None:
        """Closes the file; what is written afterwards opens it again."""
        if self._file:
            self._file.close()


def answer_facts(entity: Any, evidence: Mapping[str, Any]) -> Facts:
    """What a line tells of a prediction."""
    flags = [flag["feature"] for flag in evidence["flags"]]
    moments = {name: evidence[name] for name in MOMENTS if name in evidence}
    return {"status": 200, "entity": entity, "as_of": {}, **moments, "flags": flags}


def _line(request_id: str, predictor: Answering, facts: Facts) -> str:
    told = {
        "at": datetime.now(UTC).isoformat(),  # never ASOF_CLOCK's: what the online store held is found by it
        "request_id": request_id,
        "use_case": predictor.use_case.name,
        "model": vars(predictor.lineage),
        **facts,
    }
    return to_json(told).decode()


class _File(WatchedFileHandler):
    """Appends lines; what cannot be written is lost, which is told once until writing succeeds again."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self._failed = self._told = False

    def append(self, lines: str) -> None:
        """Whole lines, the last one without its end."""
        self.handle(logging.makeLogRecord({"msg": lines}))

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # who rotates it may give it another mode
            os.close(os.open(self.baseFilename, os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR))
        return super()._open()

    def emit(self, record: logging.LogRecord) -> None:
        self._failed = False
        try:
            super().emit(record)
        except OSError:  # of opening; what writing raises goes to handleError by itself
            self.handleError(record)
        self._told = self._failed

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 - logging's own name
        self._failed = True
        if not self._told:
            logger.error(
                "ASOF_ANSWER_LOG %s cannot be written (%s): until it can, no answer can be traced by its id.",
                self.baseFilename,
                sys.exc_info()[1],
            )
        stream, self.stream = self.stream, None  # half a line must not come back later
        with contextlib.suppress(OSError):
            if stream:
                stream.close()
