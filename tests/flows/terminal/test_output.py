"""What a command leaves on stdout and stderr, and how the demo judges an answer."""

import errno
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import typer
from rich.console import Console

from asof.errors import ConfigurationError, DataError
from asof.settings import PROJECT
from asof.use_case import Question
from flows.runtime.progress import log, show_progress
from flows.terminal.output import run_command
from flows.terminal.screens.screen import Screen


def test_the_last_line_of_stdout_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    with run_command("working", as_json=True) as emit:
        emit({"rows": 3, "nested": {"metric": 0.5}})
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"rows": 3, "nested": {"metric": 0.5}}


def test_people_get_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    with run_command("working") as emit:
        emit({"version": "3"}, lambda result: Screen(f"Version {result['version']} is in Production."))
    assert capsys.readouterr().out == "Version 3 is in Production.\n"


def test_an_error_of_ours_is_a_sentence_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as exit_, run_command("working", as_json=True):
        raise DataError("users.csv is [empty]: deliver it again.")
    assert exit_.value.exit_code == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": "DataError: users.csv is [empty]: deliver it again."}
    assert "error: DataError: users.csv is [empty]: deliver it again." in err


def test_an_error_is_one_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    sentence = "users.csv has a row of which every cell is empty, which can only be a mistake: " * 3
    with pytest.raises(typer.Exit), run_command("working"):
        raise DataError(sentence)
    assert f"error: DataError: {sentence}" in capsys.readouterr().err.splitlines()


def test_a_bug_shows_our_frames_alone_and_asks_for_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as exit_, run_command("working"):
        json.loads("{[red]")
    assert exit_.value.exit_code == 1
    err = capsys.readouterr().err
    assert 'json.loads("{[red]")' in err
    assert "json.decoder.JSONDecodeError: Expecting property name" in err
    assert f"json{os.sep}decoder.py" not in err
    assert "report it with these lines" in err


def test_progress_stands_beside_the_spinner_while_it_turns() -> None:
    status = Console(quiet=True).status("ingesting")
    with show_progress(status, "ingesting"):
        log.info("month_%03d", 4)
    assert status.status == "ingesting ... month_004"
    log.info("month_005")
    assert status.status == "ingesting ... month_004"
    assert log.level == logging.NOTSET


def test_a_warning_stays_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with run_command("working", as_json=True) as emit:
        log.warning("No server is [running].")
        emit({})
    out, err = capsys.readouterr()
    assert out == "{}\n"
    assert "No server is [running].\n" in err


@pytest.mark.parametrize(
    ("status", "answer", "kept"),
    [
        (200, {"user_id": "a", "probability": 0.5}, True),
        (200, {"user_id": "b"}, False),
        (200, {}, False),
        (503, {"user_id": "a"}, False),
    ],
)
def test_an_answer_keeps_the_promise_only_with_its_status_and_members(
    status: int, answer: dict[str, object], kept: bool
) -> None:
    assert Question("A user", "{}", 200, {"user_id": "a"}).is_answered_by(status, answer) is kept


def _printed(error: Exception, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(typer.Exit) as ended, run_command("working"):
        raise error
    assert ended.value.exit_code == 1
    return " ".join(capsys.readouterr().err.split())


def _unusable(cause: Exception) -> Exception:
    """As `training.tracking.address` tells it: the cause, which may hold a password, is not show_progress."""
    error = ConfigurationError("Correct the address.")
    error.__context__, error.__suppress_context__ = cause, True
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/there/artifacts/model.skops"), "/there/artifacts/model"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/there/part"), "/there/part"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/there/part"), "/there/part"),
        (psycopg.errors.DiskFull('could not extend file "base/1/2": No space left on device'), "PostgreSQL"),
        (
            _unusable(psycopg.OperationalError("FATAL: could not write init file: No space left on device")),
            "PostgreSQL",
        ),
        (_unusable(sqlite3.OperationalError("database or disk is full")), "disk is full"),
    ],
    ids=str,
)
def test_a_full_disk_is_reported_with_its_path_and_no_address_is_blamed(
    error: Exception, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = _printed(error, capsys)
    assert expected in output
    assert "The disk of /" in output or "The disk of PostgreSQL" in output
    assert "make room there, then run the command again" in output
    assert "address" not in output


def test_where_writing_tells_no_path_the_fullest_disk_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="No space left") as full:
        Path("/dev/full").write_text("a")
    assert full.value.filename is None
    assert "The disk of /" in _printed(full.value, capsys)


def test_an_error_of_another_kind_is_no_full_disk(capsys: pytest.CaptureFixture[str]) -> None:
    output = _printed(OSError(errno.EACCES, os.strerror(errno.EACCES), "/there"), capsys)
    assert "PermissionError: [Errno 13] Permission denied: '/there'" in output


INTERRUPTED_FINALIZER = """
import os, signal, sys, time, weakref
from flows.terminal.output import exit_on_signals

class Gone:
    pass

signal.signal(signal.SIGINT, signal.default_int_handler)
exit_on_signals()
gone = Gone()
callback = weakref.ref(gone, lambda _: (os.kill(os.getpid(), int(sys.argv[1])), time.sleep(0.1)))
del gone
try:
    time.sleep(20)
finally:
    print("cleaned up", flush=True)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_an_interruption_during_a_finalizer_is_not_lost(number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-c", INTERRUPTED_FINALIZER, str(int(number))]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=15)
    assert (done.returncode, done.stdout) == (code, "cleaned up\n")
