"""A stage in a process of its own, which imports what the stage needs while another stage still runs."""

import logging
import multiprocessing
import signal
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from flows.runtime.progress import log
from flows.terminal.output import StageFailed, error_text, exit_on_signals
from flows.terminal.runs import choose_run


class StageProcess:
    """Starts importing at once; `run` runs the stage. It ends with the block, or with this process."""

    def __init__(self, stage: str, *imports: str) -> None:
        """`stage` is a module of `flows.stages` with a function of the same name."""
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, stage, imports), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> "StageProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.join()

    def run(self, *args: Any, **options: Any) -> dict[str, Any]:
        """The stage's result; its progress is logged here. Raises StageFailed with the text of its error."""
        try:
            self._connection.send((args, options))
            while isinstance(message := self._connection.recv(), logging.LogRecord):
                log.handle(message)
        except (EOFError, ConnectionError):
            raise StageFailed("error: the process of the stage was killed: is there enough memory?") from None
        if isinstance(message, str):
            raise StageFailed(message)
        result: dict[str, Any] = message
        return result


def _serve(connection: Connection, stage: str, imports: tuple[str, ...]) -> None:
    """Runs the stage with the first arguments that come; sends records of progress, then its result or error text."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent then ends this process
    exit_on_signals()
    with suppress(EOFError, ConnectionError):
        function = getattr(import_module(f"flows.stages.{stage}"), stage)
        for name in imports:
            import_module(name)
        args, options = connection.recv()
        log.addHandler(logging.NullHandler())
        run = choose_run()  # whose warning the caller has shown
        log.addHandler(_Forward(connection))
        log.setLevel(logging.INFO)
        try:
            result: Any = run(function, *args, **options)
        except Exception as error:
            result = error_text(error)
        connection.send(result)


class _Forward(logging.Handler):
    """Sends records to the process that shows them."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = record.getMessage(), None
        self.connection.send(record)
