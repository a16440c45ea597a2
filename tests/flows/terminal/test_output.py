"""What a command leaves on stdout and stderr, and how the demo judges an answer."""

import errno
import json
import logging
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import typer
from rich.console import Console

from asof.errors import ConfigurationError, DataError
from asof.use_case import Question
from flows.runtime.progress import log, show_progress
from flows.terminal.output import abbreviate, run_command


def test_the_last_line_of_stdout_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    with run_command("working", as_json=True) as emit:
        emit({"rows": 3, "nested": {"metric": 0.5}})
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"rows": 3, "nested": {"metric": 0.5}}


def test_people_get_tables(capsys: pytest.CaptureFixture[str]) -> None:
    with run_command("working") as emit:
        emit({"version": "3", "criteria": [{"name": "AUC", "passed": True}]})
    output = capsys.readouterr().out
    assert [word for word in ("version", "3", "criteria", "AUC", "True") if word not in output] == []


def test_people_get_digests_and_moments_in_short_and_numbers_in_full() -> None:
    moment = datetime(2024, 1, 31, 0, 0, 0, 5, tzinfo=UTC)
    table = abbreviate(
        {"rows": [{"digest": "a" * 64, "value": 0.1 + 0.2, "when": moment, "gone": None}], "name": "abc"}
    )
    row = {"digest": "a" * 12, "value": "0.30000000000000004", "when": "2024-01-31 00:00:00", "gone": ""}
    assert table == {"rows": [row], "name": "abc"}


def test_several_sentences_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with run_command("working") as emit:
        emit({"notes": ["one thing", "another"]})
    assert [line.split()[-2:] for line in capsys.readouterr().out.splitlines()] == [["one", "thing"], ["another"]]


def test_an_error_of_ours_is_a_sentence_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as exit_, run_command("working", as_json=True):
        raise DataError("users.csv is [empty]: deliver it again.")
    assert exit_.value.exit_code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: DataError: users.csv is [empty]: deliver it again." in err


def test_an_error_that_is_not_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), run_command("working"):
        raise ZeroDivisionError


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


def _told(error: Exception, capsys: pytest.CaptureFixture[str]) -> str:
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
    output = _told(error, capsys)
    assert expected in output
    assert "The disk of /" in output or "The disk of PostgreSQL" in output
    assert "make room there, then run the command again" in output
    assert "address" not in output


def test_where_writing_tells_no_path_the_fullest_disk_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="No space left") as full:
        Path("/dev/full").write_text("a")
    assert full.value.filename is None
    assert "The disk of /" in _told(full.value, capsys)


def test_an_error_of_another_kind_stays_a_traceback() -> None:
    with pytest.raises(OSError, match="Permission denied"), run_command("working"):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), "/there")
