"""A stage in a process of its own: its errors are printed as if it ran here, and it does not outlive its block."""

import os
import signal
from multiprocessing import active_children

import pytest
import typer

from flows.terminal.output import StageFailed, run_command
from flows.terminal.runs import StageProcess


def test_an_error_of_the_stage_is_printed_as_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), run_command("working"), StageProcess("ingest") as ingest:
        ingest.run("nowhere", use_case="telecom")
    error = " ".join(capsys.readouterr().err.split())
    assert error.startswith("error: ConfigurationError: There is no use case 'telecom'; there are:")


def test_a_process_that_is_killed_is_reported_and_none_is_left() -> None:
    with StageProcess("bundle") as bundle:
        (process,) = active_children()
        os.kill(process.pid or 0, signal.SIGKILL)
        with pytest.raises(StageFailed, match="was killed"):
            bundle.run("churn")
    with StageProcess("bundle"):
        assert active_children()
    assert not active_children()
