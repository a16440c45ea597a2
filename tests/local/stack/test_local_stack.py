"""One server in the background: started, found, waited for, ended; and the arguments of the stack's servers."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from asof.errors import ConfigurationError
from asof.settings import Settings
from local.stack import background, services
from local.stack.background import Service

TINY_SERVER = """
import argparse, http.server, json, subprocess, sys

options = argparse.ArgumentParser()
for name in ("--host", "--port", "--fail", "--settled"):
    options.add_argument(name)
options = options.parse_args()
if options.fail:
    sys.exit(f"tiny server: {options.fail}")
class Unready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503)
        self.end_headers()
        self.wfile.write(json.dumps({"detail": options.settled, "settled": True}).encode())

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
handler = Unready if options.settled else http.server.SimpleHTTPRequestHandler
http.server.HTTPServer((options.host, int(options.port)), handler).serve_forever()
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """A folder for records and logs with a server that takes a moment to write; its process is ended afterwards."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "tiny_server.py").write_text(TINY_SERVER)
    yield folder
    background.end("tiny", folder)


@pytest.fixture
def tiny() -> Service:
    return Service("tiny", "the tiny server", "tiny_server", (), _free_port(), "/")


def test_the_children_of_a_killed_server_are_ended(run: Path, tiny: Service) -> None:
    running = background.launch(tiny, run, ("127.0.0.1", tiny.port))
    background.wait_until_healthy(tiny, running, run)
    assert background.find("tiny", run) == running
    (child,) = psutil.Process(running.pid).children()
    os.kill(running.pid, signal.SIGKILL)
    psutil.Process(running.pid).wait(60)
    assert background.find("tiny", run) is None
    assert background.end("tiny", run)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_server_whose_pid_was_never_recorded_is_ended(run: Path, tiny: Service) -> None:
    running = background.launch(tiny, run, ("127.0.0.1", tiny.port))
    background.wait_until_healthy(tiny, running, run)
    (run / "tiny.json").write_text(json.dumps(asdict(replace(running, pid=0))))
    assert background.find("tiny", run) is None
    assert background.end("tiny", run)
    assert background.get_health("127.0.0.1", tiny.port, "/").status == 0


def test_another_process_with_the_recorded_pid_is_left_alone(run: Path, tiny: Service) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other_process:
        record = {"pid": other_process.pid, "host": "127.0.0.1", "port": tiny.port, "mark": "0" * 16, "purpose": ""}
        (run / "tiny.json").write_text(json.dumps(record))
        assert background.find("tiny", run) is None
        assert not background.end("tiny", run)
        assert other_process.poll() is None
        other_process.kill()


def test_a_server_that_cannot_start_is_reported_with_the_end_of_its_log(run: Path, tiny: Service) -> None:
    broken = replace(tiny, arguments=("--fail", "no luck today"))
    running = background.launch(broken, run, ("127.0.0.1", tiny.port))
    with pytest.raises(ConfigurationError, match=r"(?s)the tiny server stopped while starting.*no luck today"):
        background.wait_until_healthy(broken, running, run)


def test_a_server_that_reports_a_settled_state_is_not_waited_for(run: Path, tiny: Service) -> None:
    unready = replace(tiny, arguments=("--settled", "promote one"))
    running = background.launch(unready, run, ("127.0.0.1", tiny.port))
    background.wait_until_healthy(unready, running, run)
    answer = background.get_health("127.0.0.1", tiny.port, "/")
    assert answer == background.Health(503, "promote one", settled=True)


def test_a_bento_is_served_by_its_full_tag_and_never_as_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    settings = Settings(home=tmp_path, postgres_url="postgresql://asof:hush@127.0.0.1:5433/asof", clock="2024-03-01")
    (settings.bentoml_home / "bentos" / "streamflow_churn" / "one").mkdir(parents=True, exist_ok=True)
    (settings.bentoml_home / "bentos" / "streamflow_churn" / "latest").write_text("one")
    service = services.prediction_service(settings, "streamflow_churn:one")
    assert service.arguments == ("serve", "streamflow_churn:one")
    assert service.environment["ASOF_CLOCK"] == "2024-03-01T00:00:00+00:00"
    for absent in ("streamflow_churn:three", "streamflow_churn:latest", "streamflow_churn", "another:one"):
        with pytest.raises(
            ConfigurationError, match=f"no Bento {absent} in .*: `python -m flows bundle USE_CASE` builds it"
        ):
            services.prediction_service(settings, absent)


def test_no_password_is_in_the_arguments_of_a_process(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, postgres_url="postgresql://asof:hush@127.0.0.1:5433/asof")
    for service in (services.mlflow_service(settings), services.prefect_service(settings)):
        assert service is not None
        assert "hush" not in " ".join(service.arguments)
        assert "hush" not in service.purpose
