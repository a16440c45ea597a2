"""`make up`, then the platforms' own commands without `make env` and with nothing set; real servers."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest
import yaml

from asof.features.feature_store import REPOSITORY
from asof.settings import PROJECT, Settings
from local import platform_commands
from local.stack import stack
from tests.kits.machine.prefect_database import copy_database
from tests.kits.service import serving as kit

DOCKER = """#!/bin/sh
# Keeps the Dockerfile of the context, in which it is started.
if [ "$1" = version ]; then echo '"27.0.1"'; else cp env/docker/Dockerfile "$KEPT"; fi
"""


@dataclass(frozen=True)
class Checkout:
    """This checkout with a home of its own; `variables` stands for what its `.env` may say."""

    home: Path
    variables: dict[str, str]

    def run(self, *words: str, cwd: Path = PROJECT, **more: str) -> "subprocess.CompletedProcess[str]":
        """A command as it is typed in a new shell."""
        return subprocess.run(
            self.words(*words), cwd=cwd, env=self.environment(more), capture_output=True, text=True, umask=0
        )

    def words(self, command: str, *words: str) -> list[str]:
        python = Path(sys.executable)
        return [str(python if command == "python" else python.with_name(command)), *words]

    def environment(self, more: dict[str, str]) -> dict[str, str]:
        bare = {"PATH": os.environ["PATH"], "HOME": str(self.home / "user"), "ASOF_HOME": str(self.home / "asof")}
        return bare | self.variables | more

    @property
    def settings(self) -> Settings:
        return Settings(_env_file=None, home=self.home / "asof", postgres_url=None, mlflow_tracking_uri=None)

    def done(self, *words: str, cwd: Path = PROJECT, **more: str) -> str:
        """What it says, where it ends well."""
        done = self.run(*words, cwd=cwd, **more)
        assert done.returncode == 0, f"{words}: {done.stdout[-3000:]} {done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def refused(self, *words: str, cwd: Path = PROJECT) -> str:
        """The one sentence that it ends with."""
        done = self.run(*words, cwd=cwd)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        return done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Down, and nothing was ever up."""
    names = ("ASOF_PORT", "ASOF_MLFLOW_PORT", "ASOF_PREFECT_PORT", "ASOF_POSTGRES_PORT")
    home = tmp_path_factory.mktemp("checkout")
    (home / "user").mkdir()
    checkout = Checkout(home, {"ASOF_USE_CASE": "churn", **{name: str(kit.free_port()) for name in names}})
    yield checkout
    stack.wipe(checkout.settings)


def test_while_the_stack_is_down_each_command_names_the_one_that_starts_it(checkout: Checkout) -> None:
    for command in (("apply",), ("materialize-incremental", "2024-01-31T00:00:00")):
        message = checkout.refused("feast", *command, cwd=REPOSITORY)
        assert message == "feast: the project's PostgreSQL is not running. Start it with `make up`."
    assert checkout.refused("mlflow", "experiments", "search").startswith("mlflow: the project's PostgreSQL")
    assert "make up" in checkout.refused("bentoml", "serve", "--port", str(kit.free_port()))
    checkout.done("bentoml", "list")
    assert not (checkout.home / "asof" / "postgres").exists(), "nothing is started"


def test_bentoml_asks_which_use_case_is_meant(checkout: Checkout) -> None:
    unnamed = Checkout(checkout.home, {**checkout.variables, "ASOF_USE_CASE": ""})
    assert "ASOF_USE_CASE: breast_cancer, churn" in unnamed.refused("bentoml", "serve")


@pytest.mark.parametrize("words", [("feast", "--help"), ("mlflow", "--version"), ("prefect", "version")])
def test_help_and_versions_need_no_stack(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Prepared in this process: the platforms take seconds to import."""
    failures: list[str] = []
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, *checkout.words(*words)])
    monkeypatch.setattr(platform_commands, "_fail", failures.append)
    with patch.dict(os.environ, checkout.environment({}), clear=True):
        platform_commands.prepare()
        assert os.environ["BENTOML_HOME"] == str(checkout.home / "asof" / "bentoml")
    assert failures == []


def test_a_setting_that_cannot_be_read_is_one_sentence(checkout: Checkout) -> None:
    wrong = Checkout(checkout.home, {**checkout.variables, "ASOF_PORT": "none"})
    assert wrong.refused("feast", "apply") == "feast: the project's settings are invalid. See `make doctor`."


@pytest.fixture(scope="module")
def up(checkout: Checkout, prefect_database: Path) -> Checkout:
    """The same, up; its preferred port for MLflow is in use."""
    copy_database(prefect_database, checkout.settings)
    with socket.create_server(("127.0.0.1", int(checkout.variables["ASOF_MLFLOW_PORT"]))):
        output = checkout.done("python", "-m", "flows", "up")
    assert "is in use; the MLflow UI uses" in output
    assert "No version of streamflow_churn is in Production yet" in " ".join(output.split())
    assert (checkout.home / "asof").stat().st_mode & 0o077 == 0
    return checkout


def test_up_twice_starts_nothing_twice(up: Checkout) -> None:
    states = {state.name: state for state in stack.states(up.settings)}
    assert all(state.running for state in states.values())
    up.done("python", "-m", "flows", "up")
    assert {state.name: state for state in stack.states(up.settings)} == states
    assert _get(f"{states['mlflow'].address}/health") == b"OK"
    interface = json.loads(_get(f"{states['prefect'].address}/ui-settings"))
    address = f"http://127.0.0.1:{up.variables['ASOF_PREFECT_PORT']}/api"
    assert interface["api_url"] == address
    output = up.done("python", "-m", "local", "env")
    assert f"export PREFECT_API_URL={address}\n" in output
    assert f"export BENTOML_HOME={up.home / 'asof' / 'bentoml'}\n" in output
    assert f"export ASOF_REGISTRY_URL={states['mlflow'].address}\n" in output


def test_feast_finds_the_registry_and_the_stores(up: Checkout) -> None:
    assert "usage_agg_30d_fv" in up.done("feast", "apply", cwd=REPOSITORY)
    words = ("materialize-incremental", "2024-01-31T00:00:00")
    assert "does not exist" in up.run("feast", *words, cwd=REPOSITORY).stderr, "it asks our database, which is empty"


def test_mlflow_and_prefect_find_the_projects_servers(up: Checkout) -> None:
    assert str(up.home / "asof" / "artifacts") in up.done("mlflow", "experiments", "search")
    assert not (PROJECT / "mlflow.db").exists()
    up.done("prefect", "work-pool", "create", "bare", "--type", "process")
    (prefect,) = (state.address for state in stack.states(up.settings) if state.name == "prefect")
    assert httpx.get(f"{prefect}/api/work_pools/bare").json()["name"] == "bare"


@pytest.fixture(scope="module")
def built(up: Checkout) -> Checkout:
    """The same, with a Bento of each use case, `of-churn` and `of-breast_cancer`."""
    for name, variables in (("churn", {}), ("breast_cancer", {"ASOF_USE_CASE": "breast_cancer"})):
        up.done("bentoml", "build", "--version", f"of-{name}", **variables)
    return up


@pytest.mark.parametrize("name", ["churn", "breast_cancer"])
def test_bentoml_build_gives_a_bento_of_code_alone_that_keeps_its_use_case(built: Checkout, name: str) -> None:
    (bento,) = (built.home / "asof" / "bentoml" / "bentos").glob(f"*/of-{name}")
    bento_yaml = yaml.safe_load((bento / "bento.yaml").read_text())
    assert (bento_yaml["args"], bento_yaml["models"]) == ({"use_case": name}, [])
    assert not (bento / "src" / "training").exists()


def test_bentoml_containerize_works_from_the_checkout(built: Checkout, tmp_path: Path) -> None:
    """Docker is a stand-in; it receives the image's Dockerfile, made from our template."""
    docker = tmp_path / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "KEPT": str(tmp_path / "Dockerfile")}
    built.done("bentoml", "containerize", "streamflow_churn:of-churn", **environment, DOCKER_BUILDKIT="0")
    assert "--require-hashes" in (tmp_path / "Dockerfile").read_text()


@pytest.mark.parametrize("command", [("bentoml",), ("python", "-m", "bentoml")])
def test_bentoml_serve_follows_what_is_in_production(up: Checkout, tmp_path: Path, command: tuple[str, ...]) -> None:
    """The second is without what `make setup` puts into .venv."""
    port = kit.free_port()
    words = up.words(*command, "serve", "--port", str(port))
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            words, cwd=PROJECT, env=up.environment({}), stdout=log, stderr=log, start_new_session=True
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            kit.eventually(lambda: client.get("/readyz").json().get("settled") is True, 60, tmp_path / "log")
            model = client.get("/model").json()
            assert model["detail"].startswith("No version of streamflow_churn has been loaded yet: promote one")
            assert model["following"]["registry"] == "ok"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def test_down_stops_every_server(up: Checkout) -> None:
    stopped = "Stopped: prediction-churn, console, prefect, mlflow, postgres.\n"
    assert stopped in up.done("python", "-m", "local", "down")
    assert not any(state.running for state in stack.states(up.settings))
    assert "nothing was running" in up.done("python", "-m", "local", "down")


def _get(address: str) -> bytes:
    host, _, path = address.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=5)
    connection.request("GET", f"/{path}")
    body = connection.getresponse().read()
    connection.close()
    return body
