"""The terminal's commands: in a process of their own, as people start them, or in this one, which takes no seconds."""

import logging
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mlflow  # noqa: F401 - else its loggers would write to a runner's streams, which are closed later
from prefect.logging.configuration import setup_logging
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from typer import Typer
from typer.main import get_command
from typer.testing import CliRunner

from asof.settings import PROJECT
from flows.__main__ import app

Done = subprocess.CompletedProcess[str]


def start_flows(environment: Mapping[str, str], *words: str) -> Done:
    """`python -m flows WORDS` in a process of its own."""
    command = [sys.executable, "-m", "flows", *words]
    return subprocess.run(command, cwd=PROJECT, env=dict(environment), capture_output=True, text=True)


def prefect(environment: Mapping[str, str], *words: str) -> None:
    """`prefect WORDS` in a process of its own, which must succeed."""
    command = [sys.executable, "-m", "prefect", *words]
    done = subprocess.run(command, cwd=PROJECT, env=dict(environment), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def deploy_all(environment: Mapping[str, str]) -> None:
    """The work pool, and every deployment of prefect.yaml, on the server of that environment."""
    prefect(environment, "work-pool", "create", "asof", "--type", "process", "--overwrite")
    prefect(environment, "--no-prompt", "deploy", "--all")


def call_flows(environment: Mapping[str, str], *words: str, text: str = "", program: Typer = app) -> Done:
    """The same in this process, with `text` on standard input; what would be a traceback is raised.

    Not for commands that build or find Bentos, which BentoML looks for in one place for the life of a process.
    """
    setup_logging()  # Prefect's loggers take the streams of now, and not the runner's, which are closed later
    with _only(environment), _process_kept(), warnings.catch_warnings(action="ignore"):
        result = CliRunner().invoke(program, list(words), input=text)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(words, result.exit_code, result.stdout, result.stderr)


def every_command() -> dict[str, Any]:
    """All commands by name, those of groups as `group name`."""
    commands: dict[str, Any] = {}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        commands |= {f"{name} {each}": own for each, own in inner.items()} if inner else {name: command}
    return commands


@contextmanager
def _only(environment: Mapping[str, str]) -> Iterator[None]:
    """For a block these are all variables; what the block sets is gone afterwards. Flows report where they say."""
    before, given = dict(os.environ), dict(environment)
    os.environ.clear()
    os.environ.update(given)
    try:
        api = {PREFECT_API_URL: given.get("PREFECT_API_URL"), PREFECT_LOGGING_TO_API_ENABLED: False}
        with temporary_settings(api):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _process_kept() -> Iterator[None]:
    """Nothing is logged, as a command lets Prefect log nothing; signals end this process as before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(disabled)
        for number, handler in before.items():
            signal.signal(number, handler)
