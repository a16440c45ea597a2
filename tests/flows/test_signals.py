"""A command that is ended by a signal still ends what it has begun."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asof.settings import PROJECT

COMMAND = """
import sys, time
from pathlib import Path
from flows.terminal.output import run_command

with run_command("working"):
    try:
        print("begun", flush=True)
        time.sleep(600)
    finally:
        Path(sys.argv[1]).write_text("ended")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_lets_a_command_end_what_it_has_begun(tmp_path: Path, number: signal.Signals) -> None:
    ours = signal.signal(number, signal.SIG_DFL)  # under `nohup` the command would inherit that SIGHUP is ignored
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(tmp_path / "ended")], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as command:
        signal.signal(number, ours)
        assert command.stdout
        assert command.stdout.readline() == "begun\n"
        command.send_signal(number)
        assert command.wait(60) == 128 + number
    assert (tmp_path / "ended").read_text() == "ended"
