"""Runs stages as Prefect flows if there is a Prefect server, otherwise as plain functions without importing Prefect.

A StageProcess runs one in a process of its own, which imports what it needs while another stage still runs.
"""

import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pkgutil import resolve_name
from types import TracebackType
from typing import TYPE_CHECKING, Any

from flows.runtime.progress import log
from flows.terminal.output import StageFailed, error_text, exit_on_signals

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

END_SECONDS = 2.0
"""In which a process without work ends by itself."""
Stage = Callable[..., dict[str, Any]]
Run = Callable[..., dict[str, Any]]
"""Takes a stage and its parameters; returns its result or raises its error."""


def choose_run() -> Run:
    """Runs on the Prefect server of PREFECT_API_URL, which `make up` sets; else without one, as a warning says."""
    if os.environ.get("PREFECT_API_URL"):
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # Prefect reads it when it is imported
        return run_flow
    log.warning("No Prefect server is set or running: this run is not recorded in Prefect (`make up` starts one).")
    return run_directly


def run_directly(stage: Stage, /, *args: Any, **options: Any) -> dict[str, Any]:
    """Calls the stage, with its parameters validated as Prefect does."""
    from pydantic import validate_call

    return validate_call(stage)(*args, **options)


def run_flow(stage: Stage, /, *args: Any, **options: Any) -> dict[str, Any]:
    """Runs the flow of `flows.deployments` that bears the stage's name; raises its error."""
    from flows import deployments

    flow = getattr(deployments, stage.__name__)
    result: dict[str, Any] | Exception = flow(*args, **options, return_state=True).result(raise_on_failure=False)
    if isinstance(result, Exception):
        raise result
    return result


class StageProcess:
    """Starts importing at once; `run` runs the stage. It ends with the block, or with this process."""

    def __init__(self, stage: str, *imports: str) -> None:
        """`stage` is a module of `flows.stages` with a function of the same name; `imports` are modules, or
        `module:function` of functions that import."""
        import multiprocessing  # only the demo needs it

        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, stage, imports), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> "StageProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._connection.close()
        self._process.join(END_SECONDS if kind is None else 0)  # a signal during its exit would make Python complain
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


def _serve(connection: "Connection", stage: str, imports: tuple[str, ...]) -> None:
    """Runs the stage with the first arguments that come; sends records of progress, then its result or error text."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent then ends this process
    exit_on_signals()
    with suppress(EOFError, ConnectionError):
        function = getattr(import_module(f"flows.stages.{stage}"), stage)
        for each in map(resolve_name, imports):
            if callable(each):
                each()
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

    def __init__(self, connection: "Connection") -> None:
        super().__init__()
        self.connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = record.getMessage(), None
        self.connection.send(record)
