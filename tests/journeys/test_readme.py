"""Every command of the README, in its order, as a newcomer types it; but `make test`: it runs this."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asof.settings import PROJECT
from tests.kits.machine.newcomer import Newcomer

COMMANDS = [
    line.partition("  #")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", (PROJECT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
ASKED = [command for command in COMMANDS if command.startswith("curl")]


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    newcomer = Newcomer(tmp_path_factory.mktemp("newcomer"))
    yield newcomer
    newcomer.run(f"{sys.executable} -m local wipe")


def test_the_readme_names_these_commands() -> None:
    """A new command needs a line below that runs it."""
    makes = [command for command in COMMANDS if not command.startswith("curl")]
    assert makes == [
        "make demo",
        "make test",
        "make up",
        "make history",
        "make trace ARGS='churn 1'",
        "make down",
        "make demo USE_CASE=breast_cancer",
        "make demo DATA=path/to/extracts AS_OF=2024-01-31",
    ]


def test_the_demo_goes_from_nothing_to_answers_that_keep_the_contract(newcomer: Newcomer) -> None:
    output = newcomer.run("make demo")
    assert output.count("as the contract says") == 4
    assert "promoted to Production" in output


@pytest.mark.soak
def test_the_demo_of_the_second_use_case_keeps_its_contract_too(newcomer: Newcomer) -> None:
    output = newcomer.run("make demo USE_CASE=breast_cancer")
    assert output.count("as the contract says") == 4
    assert "promoted to Production" in output
    assert "Snapshots" not in output


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
    output = newcomer.run(COMMANDS[-1].replace("path/to/extracts", str(streamflow)))
    assert output.count("as the contract says") == 4
    assert "its clock at 2024-02-29" in output
