"""Logs as lines of JSON on standard output: log records, warnings, uncaught errors, text on standard error.

A line has the members at, level, logger, message, and exception and stack where there are any.
"""

import io
import logging
import logging.config
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType

from pydantic_core import to_json


class JsonFormatter(logging.Formatter):
    """One object for each record."""

    def format(self, record: logging.LogRecord) -> str:
        members = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0]:
            members["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            members["stack"] = self.formatStack(record.stack_info)
        # JSON cannot represent lone surrogates, as in non-UTF-8 file names.
        return to_json({key: text.encode("utf-8", "backslashreplace") for key, text in members.items()}).decode()


class _ThreadState(threading.local):
    """A thread's text of an unfinished line, and whether it is logging."""

    text = ""
    logging = False


class LoggedText(io.TextIOBase):
    """A stream whose text becomes records of the logger `name`, one for each write that ends a line."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self._thread = _ThreadState()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._thread.text += text
        if text.endswith("\n"):
            self.flush()
        return len(text)

    def flush(self) -> None:
        thread = self._thread
        text, thread.text = thread.text.strip("\n"), ""
        if text and not thread.logging:  # logging writes to standard error when it fails
            thread.logging = True
            self._logger.error("%s", text)
            thread.logging = False


def configure_logging(log_format: str) -> None:
    """`json`: JSON lines in this process from now on; `text`: as BentoML and Python do it.

    BentoML, circus and uvicorn keep their levels; each record is written once.
    """
    if log_format != "json":
        return
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}},
            "handlers": {"json": {"class": "logging.StreamHandler", "formatter": "json", "stream": sys.stdout}},
            "root": {"handlers": ["json"], "level": "WARNING"},
            "loggers": {name: {"handlers": [], "propagate": True} for name in ("bentoml", "circus", "uvicorn.error")},
        }
    )
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    sys.stderr = LoggedText("stderr")


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logging.getLogger("python").critical("%s", error or kind.__name__, exc_info=(kind, error, trace))
