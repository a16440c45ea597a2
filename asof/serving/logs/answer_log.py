"""The answer log: one line of JSON for each answer of /predict in the file ASOF_ANSWER_LOG, for `flows trace`.

A line has the entity and the model, but no feature value and no probability. Several workers append whole lines to one
file; when it is moved (logrotate), a new one is created.
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

from asof.ledger.encoder import Encoder
from asof.model_facts import Lineage
from asof.serving.logs.json_lines import JsonLines
from asof.use_case import UseCase

logger = logging.getLogger("asof.serving")

Facts = Mapping[str, Any]
MOMENTS = ("as_of", "as_of_features")
"""The members of an answer with the moments of its values."""


class AnswerSource(Protocol):
    """The Predictor that answers, or the Worker where it has none yet."""

    use_case: UseCase
    lineage: Lineage

    @property
    def encoder(self) -> Encoder: ...


Line = tuple[str, AnswerSource, Facts]
"""An answer's id, its source, and further members: those of `answer_facts`, or status, code and entity."""


class AnswerLog:
    """One for each worker; without a path nothing is written. A failure to write fails no request."""

    def __init__(self, path: Path | None) -> None:
        self._file = _File(path) if path else None
        self._lines = JsonLines(self._file.append) if self._file else None

    def answered(self, request_id: str, source: AnswerSource, *, entity: Any, evidence: Mapping[str, Any]) -> None:
        """Logs an answer; `entity` is None where the features came in the request, `evidence` is a Prediction's."""
        if self._lines:
            self._lines.add(_line(request_id, source, answer_facts(entity, evidence)))

    def refused(self, request_id: str, source: AnswerSource, *, status: int, code: str, entity: Any) -> None:
        """Logs a problem in place of the source's answer; `entity` is None where it is absent or unknown."""
        if self._lines:
            self._lines.add(_line(request_id, source, {"status": status, "code": code, "entity": entity}))

    def batch(self, lines: Callable[[], Sequence[Line]]) -> Callable[[], None]:
        """Formats the lines of many answers in any thread; call the result in the event loop to write them."""
        log = self._lines
        if log is None:
            return lambda: None
        text = "\n".join(_line(*each) for each in lines())
        return lambda: log.add(text)

    def close(self) -> None:
        """Closes the file until the next write."""
        if self._file:
            self._file.close()


def answer_facts(entity: Any, evidence: Mapping[str, Any]) -> Facts:
    """The members of a prediction's line."""
    flags = [flag["feature"] for flag in evidence["flags"]]
    moments = {name: evidence[name] for name in MOMENTS if name in evidence}
    return {"status": 200, "entity": entity, "as_of": {}, **moments, "flags": flags}


def _line(request_id: str, source: AnswerSource, facts: Facts) -> str:
    record = {
        "at": datetime.now(UTC).isoformat(),  # never ASOF_CLOCK: `flows trace` looks up the store's content by it
        "request_id": request_id,
        "use_case": source.use_case.name,
        "model": vars(source.lineage),
        **facts,
    }
    return to_json(record).decode()


class _File(WatchedFileHandler):
    """Appends lines. Those that cannot be written are lost, with one error in the log until a write succeeds."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self._failed = self._logged = False

    def append(self, lines: str) -> None:
        """Whole lines, without a final line break."""
        self.handle(logging.makeLogRecord({"msg": lines}))

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # logrotate may have set another mode
            os.close(os.open(self.baseFilename, os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR))
        return super()._open()

    def emit(self, record: logging.LogRecord) -> None:
        self._failed = False
        try:
            super().emit(record)
        except OSError:  # of opening; errors of writing call handleError already
            self.handleError(record)
        self._logged = self._failed

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 - logging's own name
        self._failed = True
        if not self._logged:
            logger.error(
                "ASOF_ANSWER_LOG %s cannot be written (%s): until it can, no answer can be traced by its id.",
                self.baseFilename,
                sys.exc_info()[1],
            )
        stream, self.stream = self.stream, None  # discards an incomplete line in its buffer
        with contextlib.suppress(OSError):
            if stream:
                stream.close()
