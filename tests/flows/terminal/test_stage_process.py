"""A stage in a process of its own: its errors are printed as if it ran here, and it does not outlive its block."""

import os
import signal

import psutil
import pytest
import typer

from flows.terminal.output import StageFailed, run_command
from flows.terminal.stage_process import StageProcess


def test_an_error_of_the_stage_is_printed_as_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), run_command("working"), StageProcess("ingest") as ingest:
        ingest.run("nowhere", use_case="telecom")
    error = " ".join(capsys.readouterr().err.split())
    assert error.startswith("error: ConfigurationError: There is no use case 'telecom'; there are:")


def _others() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if "spawn_main" in " ".join(each.cmdline())]


def test_a_process_that_is_killed_is_reported_and_none_is_left() -> None:
    with StageProcess("bundle") as bundle:
        (process,) = _others()
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(StageFailed, match="was killed"):
            bundle.run("churn")
    with StageProcess("bundle"):
        assert _others()
    assert not _others()
