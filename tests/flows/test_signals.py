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
import typer
from flows.terminal.output import run_command

def main(ended: Path):
    with run_command("working", kept="The first half is kept."):
        try:
            print("begun", flush=True)
            time.sleep(600)
        finally:
            ended.write_text("ended")

typer.run(main)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_lets_a_command_end_what_it_has_begun_and_say_what_is_kept(
    tmp_path: Path, number: signal.Signals
) -> None:
    default = signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
    ours = signal.signal(number, default)  # under `nohup` the command would inherit that SIGHUP is ignored
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(tmp_path / "ended")],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        signal.signal(number, ours)
        assert command.stdout
        assert command.stdout.readline() == "begun\n"
        command.send_signal(number)
        _, errors = command.communicate(timeout=60)
        assert command.returncode == 128 + number
    assert errors.splitlines()[-1] == "interrupted while working: The first half is kept."
    assert (tmp_path / "ended").read_text() == "ended"
