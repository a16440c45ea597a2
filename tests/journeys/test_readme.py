"""Every command of the README, in its order, as a newcomer types it; but containers, and `make test`: it runs this."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asof.settings import PROJECT
from tests.kits.machine.free_port import free_port

COMMANDS = [
    line.partition("  #")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", (PROJECT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
IN_CONTAINERS = ("make secrets", "make images", "docker-compose up -d")
"""Run by tests/containers."""
ASKED = [command for command in COMMANDS if command.startswith("curl")]


class Newcomer:
    """A shell in the project's folder, with a home, a BentoML store and ports of its own."""

    def __init__(self, home: Path) -> None:
        names = ("ASOF_PORT", "ASOF_MLFLOW_PORT", "ASOF_PREFECT_PORT", "ASOF_POSTGRES_PORT")
        ports = {name: free_port(23000 + 100 * n, name) for n, name in enumerate(names)}
        foreign = re.compile("ASOF_|MLFLOW_|PREFECT_|BENTOML_|MAKE|MFLAGS")
        inherited = {name: value for name, value in os.environ.items() if not foreign.match(name)}
        own = {"ASOF_HOME": str(home / "asof"), "BENTOML_HOME": str(home / "bentoml")}
        self.port = ports["ASOF_PORT"]
        self.environment = {**inherited, **own, **{name: str(port) for name, port in ports.items()}}

    def run(self, command: str) -> str:
        typed = command.replace("localhost:3000", f"localhost:{self.port}")
        done = subprocess.run(typed, shell=True, cwd=PROJECT, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{typed}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    newcomer = Newcomer(tmp_path_factory.mktemp("newcomer"))
    yield newcomer
    newcomer.run(f"{sys.executable} -m local wipe")


def test_the_readme_names_these_commands() -> None:
    """A new command needs a line below that runs it."""
    makes = [command for command in COMMANDS if not command.startswith("curl")]
    assert set(IN_CONTAINERS) < set(makes)
    makes = [command for command in makes if command not in IN_CONTAINERS]
    assert makes == [
        "make demo",
        "make test",
        "make demo USE_CASE=breast_cancer",
        "make up",
        "make down",
        "make history",
        "make trace ARGS='churn 1'",
        "make demo DATA=path/to/extracts AS_OF=2024-01-31",
    ]


def test_the_demo_goes_from_nothing_to_answers_that_keep_the_contract(newcomer: Newcomer) -> None:
    told = newcomer.run("make demo")
    assert told.count("as the contract says") == 4
    assert "promoted to Production" in told


@pytest.mark.soak
def test_the_demo_of_the_second_use_case_keeps_its_contract_too(newcomer: Newcomer) -> None:
    told = newcomer.run("make demo USE_CASE=breast_cancer")
    assert told.count("as the contract says") == 4
    assert "promoted to Production" in told
    assert "Snapshots" not in told


def test_the_stack_answers_as_the_readme_shows(newcomer: Newcomer) -> None:
    newcomer.run("make up")
    known, unknown, many, features, model = (json.loads(newcomer.run(command)) for command in ASKED)
    history, traced = newcomer.run("make history"), newcomer.run("make trace ARGS='churn 1'")
    newcomer.run("make down")
    assert "promoted" in history
    assert "usage_agg_30d.csv" in traced
    assert known["user_id"] == "8547-OGMLE"
    assert known.keys() == {"user_id", "probability", "churn", "threshold", "model", "as_of", "flags", "request_id"}
    assert (unknown["status"], unknown["code"]) == (404, "entity-not-found")
    assert [item.get("probability") for item in many["predictions"]] == [pytest.approx(known["probability"]), None]
    assert many["predictions"][1]["problem"]["code"] == "entity-not-found"
    assert features["features"]
    assert model["name"] == known["model"]["name"]


@pytest.mark.soak
def test_ones_own_extracts_take_the_same_way(newcomer: Newcomer, streamflow: Path) -> None:
    told = newcomer.run(COMMANDS[-1].replace("path/to/extracts", str(streamflow)))
    assert told.count("as the contract says") == 4
    assert "its clock at 2024-02-29" in told
