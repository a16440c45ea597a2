"""The exporter of monitoring's figures, as a process of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from asof.settings import PROJECT, Settings


@contextmanager
def exporter(settings: Settings) -> Iterator[str]:
    """The address of its metrics, on a free port."""
    command = [sys.executable, "-m", "monitoring.exporter", "--port", "0"]
    environment = {**os.environ, **settings.environment()}
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stderr
            found = re.search(r"http://\S+", line := running.stderr.readline())
            assert found, line + running.stderr.read()
            yield found[0]
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(20) == 0
