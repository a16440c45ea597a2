"""Output of a command: a spinner on stderr, then the result on stdout as a screen or as one JSON object.

With --json there is one object in every case: the result, or `{"error": ...}` with what stderr says, too.
"""

import dataclasses
import json
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from enum import Enum
from types import FrameType
from typing import Any, Protocol

import typer
from rich.console import Console
from rich.text import Text

from asof.errors import AsOfError
from flows.runtime.machine_errors import explain_machine_error
from flows.runtime.progress import hide_progress, print_progress, show_progress
from flows.terminal.screens.screen import Screen, print_screen

RUN_AGAIN = "Run the command again to finish."
ERROR = "error:"
REPORT_IT = "This is a bug in AsOf, or an error that it should explain: report it with these lines."
INTERRUPTED = 130
"""The exit code after Ctrl-C, as of shells."""
AGAIN_SECONDS = 0.01
"""After which an interruption that Python ignored is raised again."""


MakeScreen = Callable[[Any], Screen]


class Verbosity(Enum):
    """How much a command prints for people."""

    QUIET = "the first line of the result, and errors"
    NORMAL = "the result, and progress that vanishes"
    VERBOSE = "the result, each step on a line, and the traceback of an error"


_verbosity = ContextVar("verbosity", default=Verbosity.NORMAL)


def set_verbosity(chosen: Verbosity) -> None:
    """Sets it for the command that begins."""
    _verbosity.set(chosen)


def verbosity() -> Verbosity:
    """That of the current command."""
    return _verbosity.get()


class Emit(Protocol):
    """Takes the result, as JSON data or a dataclass of it, and what makes its screen (None: it is printed as JSON)."""

    def __call__(self, result: Any, screen: MakeScreen | None = None, /) -> None: ...


@contextmanager
def run_command(doing: str, *, as_json: bool = False, spinner: bool = True, kept: str = RUN_AGAIN) -> Iterator[Emit]:
    """Runs the block of a command, which calls `emit(result, screen)`; prints the result when the block ends.

    An AsOfError or an error of the machine becomes a message on stderr and exit code 1; an interruption a line that
    says what is `kept`, and exit code 130 or that of the signal; any other error our frames of its traceback. With
    `as_json` stdout has the message, too.
    """
    exit_on_signals()
    _hide_deprecations()
    results: list[tuple[Any, MakeScreen | None]] = []
    errors = Console(stderr=True)
    try:
        with _progress(errors, doing) if spinner else nullcontext():
            yield lambda result, screen=None: results.append((to_plain(result), screen))
    except (KeyboardInterrupt, SystemExit) as interruption:
        line = f"interrupted while {doing}: {kept}"
        errors.print(line, markup=False, highlight=False, soft_wrap=True)
        if as_json:
            print_json({"error": line})
        raise typer.Exit(_exit_code(interruption)) from None
    except typer.Exit:
        raise
    except Exception as error:
        text = error_text(error)
        _print_error(errors, text)
        if as_json:
            print_json({"error": text.removeprefix(ERROR).lstrip()})
        raise typer.Exit(1) from error
    for result, screen in results:
        _print_result(result, screen, as_json=as_json)


def _exit_code(interruption: BaseException) -> int:
    return (
        interruption.code
        if isinstance(interruption, SystemExit) and isinstance(interruption.code, int)
        else INTERRUPTED
    )


class StageFailed(Exception):
    """The text of an error that was raised in another process (`error_text`)."""


def error_text(error: Exception) -> str:
    """What is printed for an error: its message, or our frames of a bug's traceback."""
    if isinstance(error, StageFailed):
        return str(error)
    if verbosity() is Verbosity.VERBOSE:
        return "".join(traceback.format_exception(error)).rstrip("\n")
    if message := explain_machine_error(error) or (str(error) if isinstance(error, AsOfError) else ""):
        return f"{ERROR} {type(error).__name__}: {message}"
    frames = [each for each in traceback.extract_tb(error.__traceback__) if _is_ours(each.filename)]
    return "".join([*traceback.format_list(frames), *traceback.format_exception_only(error), REPORT_IT])


def print_json(result: Any) -> None:
    """Prints the one line of stdout of a command with --json."""
    sys.stdout.write(json.dumps(result, default=str) + "\n")


def _print_error(console: Console, message: str) -> None:
    text = Text(message)
    if text.plain.startswith(ERROR):
        text.stylize("bold red", 0, len(ERROR))
    console.print(text, soft_wrap=not (console.is_terminal and text.plain.startswith(ERROR)))


def _is_ours(file: str) -> bool:
    from asof.settings import PROJECT

    return file.startswith(str(PROJECT)) and "site-packages" not in file


@contextmanager
def _progress(console: Console, doing: str) -> Iterator[None]:
    match verbosity():
        case Verbosity.QUIET:
            with hide_progress():
                yield
        case Verbosity.NORMAL:
            with console.status(f"{doing} ...") as status, show_progress(status, doing):
                yield
        case Verbosity.VERBOSE:
            with print_progress(console, doing):
                yield


def exit_on_signals() -> None:
    """Makes the first SIGTERM or SIGHUP raise SystemExit; a second one kills the process.

    A signal that is ignored (`nohup`) or already handled is left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _exit)
    if not isinstance(sys.unraisablehook, _RaiseAgain):
        sys.unraisablehook = _RaiseAgain(sys.unraisablehook)


@dataclasses.dataclass(frozen=True)
class _RaiseAgain:
    """Raises an interruption again that came during a finalizer: Python ignores whatever is raised there."""

    others: "Callable[[sys.UnraisableHookArgs], Any]"

    def __call__(self, ignored: "sys.UnraisableHookArgs") -> None:
        error = ignored.exc_value
        if not isinstance(error, KeyboardInterrupt | SystemExit):
            self.others(ignored)
            return

        def interrupt(*_: object) -> None:
            raise error

        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)


def _exit(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise SystemExit(128 + number)


def _hide_deprecations() -> None:
    """Hides deprecation warnings, which the platforms cause in each other."""
    show = warnings.showwarning

    def show_others(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, DeprecationWarning | PendingDeprecationWarning):
            show(message, category, *where, **more)

    warnings.showwarning = show_others


def _print_result(result: Any, screen: MakeScreen | None, *, as_json: bool) -> None:
    if as_json or screen is None:
        print_json(result)
    else:
        print_screen(Console(), screen(result), brief=verbosity() is Verbosity.QUIET)


def to_plain(result: Any) -> Any:
    """A dataclass as a dictionary; anything else unchanged."""
    return dataclasses.asdict(result) if dataclasses.is_dataclass(result) and not isinstance(result, type) else result
