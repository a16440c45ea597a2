"""A command that is ended by a signal leaves no server of Prefect's behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from asof.settings import PROJECT, Settings
from tests.kits.data.extracts import extract_files, write

SERVER = "prefect.server.api.server:create_app"


def _temporary_server(parent: int) -> psutil.Process:
    """Prefect's, once the command has started it."""
    while True:
        for child in psutil.Process(parent).children(recursive=True):
            if SERVER in child.cmdline():
                return child
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_it_ends_with_its_command(settings: Settings, tmp_path: Path, number: signal.Signals) -> None:
    write(tmp_path / "data" / "month_000", extract_files())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    ours = signal.signal(number, signal.SIG_DFL)  # under `nohup` the command would inherit that SIGHUP is ignored
    with subprocess.Popen(
        [sys.executable, "-m", "flows", "ingest", str(tmp_path / "data"), "--as-of", "2024-01-31"],
        cwd=PROJECT,
        env=environment | settings.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as command:
        signal.signal(number, ours)
        server = _temporary_server(command.pid)
        command.send_signal(number)
        assert command.wait(60) != 0
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
