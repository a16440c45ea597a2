"""What `make up`, `make status` and `make down` do: real processes, real MLflow and Prefect servers."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from asof.errors import ConfigurationError
from asof.settings import PROJECT, Settings
from local import background, services, stack
from local.background import Service

TINY_SERVER = """
import argparse, http.server, subprocess, sys

options = argparse.ArgumentParser()
for name in ("--host", "--port", "--fail"):
    options.add_argument(name)
given = options.parse_args()
if given.fail:
    sys.exit(f"tiny server: {given.fail}")
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
http.server.HTTPServer((given.host, int(given.port)), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _get(address: str) -> bytes:
    connection = http.client.HTTPConnection(address.removeprefix("http://").split("/")[0], timeout=60)
    connection.request("GET", "/" + address.removeprefix("http://").partition("/")[2])
    body = connection.getresponse().read()
    connection.close()
    return body


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


def test_a_server_that_dies_leaves_no_children_behind(run: Path, tiny: Service) -> None:
    running = background.launch(tiny, run, ("127.0.0.1", tiny.port))
    background.wait_until_healthy(tiny, running, run)
    assert background.find("tiny", run) == running
    (child,) = psutil.Process(running.pid).children()
    os.kill(running.pid, signal.SIGKILL)
    psutil.Process(running.pid).wait(60)
    assert background.find("tiny", run) is None
    assert background.end("tiny", run)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_process_that_only_has_the_same_number_is_left_alone(run: Path, tiny: Service) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        record = {"pid": stranger.pid, "host": "127.0.0.1", "port": tiny.port, "mark": "0" * 16, "purpose": ""}
        (run / "tiny.json").write_text(json.dumps(record))
        assert background.find("tiny", run) is None
        assert not background.end("tiny", run)
        assert stranger.poll() is None
        stranger.kill()


def test_a_server_that_cannot_start_is_reported_with_its_last_words(run: Path, tiny: Service) -> None:
    broken = replace(tiny, arguments=("--fail", "no luck today"))
    running = background.launch(broken, run, ("127.0.0.1", tiny.port))
    with pytest.raises(ConfigurationError, match=r"(?s)the tiny server stopped while starting.*no luck today"):
        background.wait_until_healthy(broken, running, run)


def test_the_newest_bento_is_the_one_that_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path, postgres_url="postgresql://asof:hush@127.0.0.1:5433/asof", clock="2024-03-01")
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path))
    assert services.prediction_service(settings) is None
    versions = tmp_path / "bentos" / "streamflow_churn"
    for version in ("one", "two"):
        (versions / version).mkdir(parents=True)
    (versions / "latest").write_text("two")
    newest, first = (services.prediction_service(settings, f"streamflow_churn{tag}") for tag in ("", ":one"))
    assert newest is not None
    assert first is not None
    assert (newest.arguments, first.arguments) == (("serve", "streamflow_churn:two"), ("serve", "streamflow_churn:one"))
    assert newest.purpose != first.purpose
    assert newest.environment["ASOF_CLOCK"] == "2024-03-01T00:00:00+00:00"
    with pytest.raises(ConfigurationError, match="no Bento streamflow_churn:three"):
        services.prediction_service(settings, "streamflow_churn:three")


def test_no_password_stands_in_the_arguments_of_a_process(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, postgres_url="postgresql://asof:hush@127.0.0.1:5433/asof")
    for service in (services.mlflow_service(settings), services.prefect_service(settings)):
        assert service is not None
        assert "hush" not in " ".join(service.arguments)
        assert "hush" not in service.purpose


def test_up_twice_starts_nothing_twice_and_down_ends_all_of_it(tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    mlflow_port, prefect_port = taken.getsockname()[1], _free_port()
    given = {
        "ASOF_HOME": str(tmp_path / "home"),
        "ASOF_POSTGRES_PORT": str(_free_port()),
        "ASOF_MLFLOW_PORT": str(mlflow_port),
        "ASOF_PREFECT_PORT": str(prefect_port),
        "BENTOML_HOME": str(tmp_path / "bentoml"),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASOF_", "MLFLOW_", "PREFECT_"))}

    def local(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "local", *words]
        return subprocess.run(
            command, cwd=PROJECT, env=kept | given, capture_output=True, text=True, check=True, umask=0
        )

    settings = Settings(home=tmp_path / "home", postgres_url=None, mlflow_tracking_uri=None)
    try:
        first = local("up")
        assert f"Port {mlflow_port} is taken; the MLflow UI takes" in first.stderr
        assert "No Bento streamflow_churn:latest is built yet" in first.stdout
        states = {state.name: state for state in stack.states(settings)}
        open_to_others = [path for path in settings.home.rglob("*") if path.stat().st_mode & 0o077]
        assert open_to_others == [path for path in open_to_others if path.is_relative_to(settings.home / "postgres")]
        assert [name for name in states if states[name].running] == ["postgres", "mlflow", "prefect"]
        assert _get(f"{states['mlflow'].address}/health") == b"OK"
        interface = json.loads(_get(f"{states['prefect'].address}/ui-settings"))
        assert interface["api_url"] == f"http://127.0.0.1:{prefect_port}/api"
        assert f"export PREFECT_API_URL=http://127.0.0.1:{prefect_port}/api\n" in local("env").stdout

        local("up")
        assert {state.name: state for state in stack.states(settings)} == states
        assert local("down").stdout == "Stopped: prefect, mlflow, postgres.\n"
        assert not any(state.running for state in stack.states(settings))
        assert "nothing was running" in local("down").stdout
    finally:
        taken.close()
        stack.wipe(settings)
