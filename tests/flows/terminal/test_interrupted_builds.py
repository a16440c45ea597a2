"""Ctrl-C and SIGTERM while a demo, a stack, a Bento or an image is made: what is kept, and the same command again."""

import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import psycopg
import pytest

from asof.settings import PROJECT, Settings
from local.stack import background, stack
from local.stack.services import SERVERS
from tests.kits.machine.free_port import free_port
from tests.kits.machine.interruptions import interrupted
from tests.kits.machine.prefect_database import copy_database
from tests.kits.machine.terminal import start_flows

INT, TERM = signal.SIGINT, signal.SIGTERM
ENGINE = """#!/bin/sh
case "$1" in
    version) echo '"27.1.0"' ;;
    build) touch {folder}/building; test -e {folder}/quick || exec sleep 600 ;;
esac
"""
DEMO = "demo churn --users 400 --months 2 --json"
ACTIVE_CLIENTS = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend'"
"""Without what sends the log to a replica of other tests."""


def again(world: dict[str, str], words: str) -> dict[str, object]:
    """The one JSON document of the command, which succeeds."""
    done = start_flows(world, *words.split(), *([] if "--json" in words else ["--json"]))
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def bento(world: dict[str, str]) -> str:
    """Of code only, by the command that was interrupted before."""
    lines = interrupted(world, "bundle wine --without-model", "code only", INT)
    assert lines[-1] == "interrupted while bundling: No Bento is half built; the same command builds it."
    built = again(world, "bundle wine --without-model")
    assert built["created"]
    return str(built["bento_tag"])


def test_an_interrupted_image_ends_its_engine_and_the_same_command_builds_it(
    world: dict[str, str], bento: str, tmp_path: Path
) -> None:
    """A stand-in for the engine: what `docker build` itself leaves is not ours."""
    (tmp_path / "docker").write_text(ENGINE.format(folder=tmp_path))
    (tmp_path / "docker").chmod(0o755)
    own = {**world, "PATH": f"{tmp_path}:{world['PATH']}", "DOCKER_BUILDKIT": "0"}
    words = f"image wine --bento {bento} --engine docker"
    lines = interrupted(own, words, (tmp_path / "building").exists, TERM)
    kept = "The Bento is kept, and the engine keeps finished layers; the same command goes on."
    assert lines[-1] == f"interrupted while building: {kept}"
    (tmp_path / "quick").touch()
    assert again(own, words)["engine"] == "docker"


@pytest.fixture
def stack_world(world: dict[str, str]) -> dict[str, str]:
    """The same with ports of its own for the servers, which the test ends."""
    ports = {"PORT": 13000, "MLFLOW_PORT": 15050, "PREFECT_PORT": 14210}
    return {**world, **{f"ASOF_{name}": str(free_port(port, name)) for name, port in ports.items()}}


def begun(settings: Settings) -> bool:
    """Whether the processes of both servers run; neither answers so early."""
    return all(background.find(name, stack.run_folder(settings)) for name in SERVERS)


def make_down(world: dict[str, str]) -> str:
    command = [sys.executable, "-m", "local", "down"]
    return subprocess.run(command, cwd=PROJECT, env=world, capture_output=True, text=True, check=True).stdout


def test_an_interrupted_up_leaves_only_servers_that_down_ends(stack_world: dict[str, str], settings: Settings) -> None:
    lines = interrupted(stack_world, "up wine", partial(begun, settings), TERM)
    kept = "Servers that answered go on; the same command starts the others, `make down` ends all."
    assert lines[-1] == f"interrupted while starting: {kept}"
    make_down(stack_world)
    assert not [each for each in stack.states(settings) if each.running]


@pytest.mark.soak
@pytest.mark.parametrize("number", [INT, TERM], ids=lambda number: number.name)
def test_after_an_interruption_up_starts_every_server(
    stack_world: dict[str, str], settings: Settings, prefect_database: Path, number: signal.Signals
) -> None:
    copy_database(prefect_database, settings)
    interrupted(stack_world, "up wine", partial(begun, settings), number)
    try:
        servers = again(stack_world, "up wine")["servers"]
        assert isinstance(servers, dict)
        assert {name for name, each in servers.items() if each["running"]} >= {*SERVERS, "prediction-wine"}
    finally:
        make_down(stack_world)


def test_an_interrupted_demo_ends_its_stages_and_keeps_what_was_done(world: dict[str, str], settings: Settings) -> None:
    lines = interrupted(world, DEMO, "Simulated extracts", INT)
    kept = "What was loaded, trained and promoted is kept; the same command goes on."
    assert lines[-1] == f"interrupted while running the demo: {kept}"
    assert list((settings.home / "extracts").iterdir())
    with psycopg.connect(settings.conninfo()) as connection:
        assert connection.execute(ACTIVE_CLIENTS).fetchone() == (1,)


@pytest.mark.soak
@pytest.mark.parametrize(("step", "number"), [("Snapshots and online store", TERM), ("Bundle  ", INT)])
def test_the_same_demo_goes_on_after_an_interruption(world: dict[str, str], step: str, number: signal.Signals) -> None:
    interrupted(world, DEMO, step, number)
    assert again({**world, "ASOF_PORT": str(free_port(13000, "the demo"))}, DEMO)["passed"]
