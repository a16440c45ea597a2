"""Output of a command: a spinner on stderr, then the result on stdout as tables or as one JSON object."""

import dataclasses
import json
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from types import FrameType
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from asof.errors import AsOfError
from flows.runtime.machine_errors import explain_machine_error
from flows.runtime.progress import show_progress

Emit = Callable[[Any], None]
DIGEST = re.compile("[0-9a-f]{40,64}")


@contextmanager
def run_command(doing: str, *, as_json: bool = False, quiet: bool = False) -> Iterator[Emit]:
    """Runs the block of a command, which calls `emit(result)`; prints the result when the block ends.

    An AsOfError or an error of the machine becomes a message on stderr and exit code 1.
    """
    _exit_on_signals()
    _hide_deprecations()
    results: list[Any] = []
    errors = Console(stderr=True)
    try:
        with nullcontext() if quiet else _spinner(errors, doing):
            yield results.append
    except Exception as error:
        message = explain_machine_error(error) or (str(error) if isinstance(error, AsOfError) else "")
        if not message:
            raise
        errors.print(f"[bold red]error:[/] {type(error).__name__}:", end=" ")
        errors.print(message, markup=False, highlight=False)
        raise typer.Exit(1) from error
    for result in results:
        _render(to_plain(result), as_json=as_json)


@contextmanager
def _spinner(console: Console, doing: str) -> Iterator[None]:
    with console.status(f"{doing} ...") as status, show_progress(status, doing):
        yield


def _exit_on_signals() -> None:
    """Makes the first SIGTERM or SIGHUP raise SystemExit; a second one kills the process.

    A signal's default action skips what ends a run in MLflow, a service of the demo or a temporary folder. A signal
    that is ignored (`nohup`) or already handled is left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _exit)


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


def _render(result: Any, *, as_json: bool) -> None:
    """Prints one line of JSON, or tables."""
    if as_json:
        sys.stdout.write(json.dumps(result, default=str) + "\n")
    else:
        _print_tables(Console(), result)


def to_plain(result: Any) -> Any:
    """A dataclass as a dictionary; anything else unchanged."""
    return dataclasses.asdict(result) if dataclasses.is_dataclass(result) and not isinstance(result, type) else result


def abbreviate(value: Any) -> Any:
    """The result for a table: 12 digits of digests, datetimes to the second, floats in full."""
    if isinstance(value, Mapping):
        return {key: abbreviate(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [abbreviate(each) for each in value]
    if isinstance(value, float):
        return repr(value)
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return value[:12] if isinstance(value, str) and DIGEST.fullmatch(value) else value


def _print_tables(console: Console, result: Mapping[str, Any], title: str | None = None) -> None:
    scalars = {key: value for key, value in result.items() if not _is_rows(value) and not isinstance(value, Mapping)}
    if scalars:
        console.print(_table(title, ["", ""], [[key, _cell(value)] for key, value in scalars.items()], header=False))
    for key, value in result.items():
        if isinstance(value, Mapping):
            _print_tables(console, value, key)
        elif _is_rows(value):
            names = list(value[0])
            console.print(_table(key, names, [[_cell(row[name]) for name in names] for row in value]))


def _is_rows(value: Any) -> bool:
    return isinstance(value, Sequence) and bool(value) and isinstance(value[0], Mapping)


def _table(title: str | None, names: list[str], rows: list[list[str]], *, header: bool = True) -> Table:
    table = Table(title=title, title_justify="left", show_header=header, box=None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")  # values may be copied, so never cut them
    for row in rows:
        table.add_row(*row)
    return table


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "\n".join(map(_cell, value))
    return f"{value:.4f}" if isinstance(value, float) else str(value)
