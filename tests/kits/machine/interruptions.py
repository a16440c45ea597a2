"""A command in a process of its own that gets a signal in the middle of its work."""

import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import psutil

from asof.settings import PROJECT

MARK = "TEST_STARTED_AS"
"""In the environment of the command and of every process that it starts."""


def interrupted(
    environment: Mapping[str, str], words: str, when: str | Callable[[], bool], number: signal.Signals
) -> list[str]:
    """Signals the command as soon as stderr reports a step, or as something is so; the lines of stderr after that.

    The exit code is the shell's, and no process is left, but for servers of the stack (`left_by` finds them).
    """
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "flows", *words.split(), "--verbose"]
    marked = {**environment, MARK: secrets.token_hex(8)}
    with subprocess.Popen(
        command, cwd=PROJECT, env=marked, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        signal.signal(signal.SIGINT, ours)
        _wait_for(process, when)
        process.send_signal(number)
        assert process.stderr
        rest = process.stderr.read().splitlines()
        assert process.wait(60) == 128 + number, rest
    assert not left_by(marked[MARK])
    return rest


def _wait_for(process: "subprocess.Popen[str]", when: str | Callable[[], bool]) -> None:
    assert process.stderr
    if isinstance(when, str):
        seen = []
        for line in process.stderr:
            seen.append(line)
            if when in line:
                return
        raise AssertionError(f"{when!r} was never reported: {seen}")
    while not when():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


def left_by(mark: str) -> list[list[str]]:
    """The command lines of the processes with that mark, a second after it ended; without those of the stack."""
    deadline = time.monotonic() + 5
    while (found := _marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _marked(mark: str) -> list[list[str]]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            variables = process.environ()
            if variables.get(MARK) == mark and "ASOF_STARTED_AS" not in variables:
                found.append(process.cmdline())
    return found
