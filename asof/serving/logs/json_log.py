"""Whatever this process says -> lines of JSON on standard output: log records, warnings, uncaught errors, bare text.

The fields of a line: at, level, logger, message, and exception and stack where there are any.
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
    """One object a record."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0]:
            told["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            told["stack"] = self.formatStack(record.stack_info)
        return to_json({name: _written(text) for name, text in told.items()}).decode()


def _written(text: str) -> str:
    """The same, with half characters, as in names of files that are no UTF-8, written out: JSON has none."""
    return text.encode("utf-8", "backslashreplace").decode()


class _Own(threading.local):
    """What one thread has written of a line that is not ended, and whether it is logging."""

    text = ""
    logging = False


class LoggedText(io.TextIOBase):
    """A stream whose text becomes records of the logger `name`, one for each write of a thread that ends a line."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self._own = _Own()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._own.text += text
        if text.endswith("\n"):
            self.flush()
        return len(text)

    def flush(self) -> None:
        own = self._own
        text, own.text = own.text.strip("\n"), ""
        if text and not own.logging:  # logging itself complains here when it cannot write
            own.logging = True
            self._logger.error("%s", text)
            own.logging = False


def write_log(form: str) -> None:
    """`json`: as above, from now on, in this process; `text`: as BentoML and Python do it.

    BentoML, circus and uvicorn keep their levels; each record is written once.
    """
    if form != "json":
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
