"""What a command tells: a spinner while it works (stderr), then its result for people or as JSON (stdout)."""

import dataclasses
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from asof.errors import AsOfError
from flows.runtime.progress import shown
from flows.runtime.signals import end_orderly
from flows.runtime.troubles import machine_trouble

Say = Callable[[Any], None]
DIGEST = re.compile("[0-9a-f]{40,64}")


@contextmanager
def account(doing: str, *, as_json: bool = False, quiet: bool = False) -> Iterator[Say]:
    """Runs a block that calls `say(result)` once; an error of ours becomes one sentence and exit code 1.

    So does a trouble of the machine, through whichever library it is told.
    """
    end_orderly()
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    _hush_deprecations()
    results: list[Any] = []
    errors = Console(stderr=True)
    try:
        with nullcontext() if quiet else _spinner(errors, doing):
            yield results.append
    except Exception as error:
        told = machine_trouble(error) or (str(error) if isinstance(error, AsOfError) else "")
        if not told:
            raise
        errors.print(f"[bold red]error:[/] {type(error).__name__}:", end=" ")
        errors.print(told, markup=False, highlight=False)
        raise typer.Exit(1) from error
    for result in results:
        tell(plain(result), as_json=as_json)


@contextmanager
def _spinner(console: Console, doing: str) -> Iterator[None]:
    with console.status(f"{doing} ...") as status, shown(status, doing):
        yield


def _hush_deprecations() -> None:
    """The platforms deprecate each other's interfaces; that is news for us, and noise for who runs a command."""
    show = warnings.showwarning

    def show_others(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, DeprecationWarning | PendingDeprecationWarning):
            show(message, category, *where, **more)

    warnings.showwarning = show_others


def tell(result: Any, *, as_json: bool) -> None:
    """One line of JSON, or tables for people."""
    if as_json:
        sys.stdout.write(json.dumps(result, default=str) + "\n")
    else:
        _print(Console(), result)


def plain(result: Any) -> Any:
    """Dataclasses as mappings, so that a result is one JSON object."""
    return dataclasses.asdict(result) if dataclasses.is_dataclass(result) and not isinstance(result, type) else result


def shortened(value: Any) -> Any:
    """The same result for people: twelve digits of a digest, every one of a number, a moment to the second."""
    if isinstance(value, Mapping):
        return {key: shortened(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [shortened(each) for each in value]
    if isinstance(value, float):
        return repr(value)
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return value[:12] if isinstance(value, str) and DIGEST.fullmatch(value) else value


def _print(console: Console, result: Mapping[str, Any], title: str | None = None) -> None:
    facts = {key: value for key, value in result.items() if not _is_rows(value) and not isinstance(value, Mapping)}
    if facts:
        console.print(_table(title, ["", ""], [[key, _cell(value)] for key, value in facts.items()], header=False))
    for key, value in result.items():
        if isinstance(value, Mapping):
            _print(console, value, key)
        elif _is_rows(value):
            names = list(value[0])
            console.print(_table(key, names, [[_cell(row[name]) for name in names] for row in value]))


def _is_rows(value: Any) -> bool:
    return isinstance(value, Sequence) and bool(value) and isinstance(value[0], Mapping)


def _table(title: str | None, names: list[str], rows: list[list[str]], *, header: bool = True) -> Table:
    table = Table(title=title, title_justify="left", show_header=header, box=None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")  # what is to be copied must be there whole
    for row in rows:
        table.add_row(*row)
    return table


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "\n".join(map(_cell, value))
    return f"{value:.4f}" if isinstance(value, float) else str(value)
