"""Every command of the README but `make test`, in its order, as a new user types it; with fewer simulated users."""

import csv
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from asof.settings import PROJECT
from simulator import SimulationPlan, month_end_before, simulate
from tests.kits.machine.newcomer import Newcomer

COMMANDS = [
    line.partition("  #")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", (PROJECT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
ASKED = [command for command in COMMANDS if command.startswith("curl")]
USER = "8547-OGMLE"
FEWER = {"USERS": "1000", "MONTHS": "3"}
"""Make takes them as if they were typed."""


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    newcomer = Newcomer(tmp_path_factory.mktemp("newcomer"))
    newcomer.environment |= FEWER
    yield newcomer
    newcomer.run(f"{sys.executable} -m local wipe")


def test_the_readme_names_these_commands() -> None:
    """A new command needs a line below that runs it."""
    makes = [command for command in COMMANDS if not command.startswith("curl")]
    assert makes == [
        "make demo",
        "make test",
        "make up ARGS=churn",
        "make history ARGS=churn",
        "make trace ARGS='churn 1'",
        "make down",
        "make demo USE_CASE=breast_cancer",
        "make demo USE_CASE=wine",
        "make demo DATA=path/to/extracts AS_OF=2024-01-31",
    ]


def test_the_user_that_the_readme_asks_for_is_in_the_newest_simulated_month(tmp_path: Path) -> None:
    plan = SimulationPlan(month_end_before(datetime.now(UTC).date()))
    simulate(plan, tmp_path)
    assert any(USER in command for command in ASKED)
    assert USER in users_of(tmp_path)


def users_of(folder: Path) -> list[str]:
    """The users of the newest month."""
    with (max(folder.glob("month_*")) / "subscriptions.csv").open() as file:
        return [row["user_id"] for row in csv.DictReader(file)]


def test_the_demo_ends_with_answers_that_keep_the_contract(newcomer: Newcomer) -> None:
    output = newcomer.run("make demo")
    assert output.count("as the contract says") == 4
    assert "promoted to Production" in output


@pytest.mark.soak
@pytest.mark.parametrize("name", ["breast_cancer", "wine", "diabetes"])
def test_the_demo_of_another_use_case_keeps_its_contract(newcomer: Newcomer, name: str) -> None:
    output = newcomer.run(f"make demo USE_CASE={name}")
    assert "as the contract says" in output
    assert "but the contract says" not in output
    assert "promoted to Production" in output
    assert "Snapshots" not in output


def test_the_stack_answers_as_the_readme_shows(newcomer: Newcomer) -> None:
    (extracts,) = Path(newcomer.environment["ASOF_HOME"]).glob("extracts/*")
    user = users_of(extracts)[0]
    newcomer.run("make up ARGS=churn")
    answers = [newcomer.run(command.replace(USER, user)) for command in ASKED]
    known, unknown, many, features, model = map(json.loads, answers)
    history, traced = newcomer.run("make history ARGS=churn"), newcomer.run("make trace ARGS='churn 1'")
    newcomer.run("make down")
    assert "promoted" in history
    assert "usage_agg_30d.csv" in traced
    assert known["user_id"] == user
    assert known.keys() == {"user_id", "probability", "churn", "threshold", "model", "as_of", "flags", "request_id"}
    assert (unknown["status"], unknown["code"]) == (404, "entity-not-found")
    assert [item.get("probability") for item in many["predictions"]] == [pytest.approx(known["probability"]), None]
    assert many["predictions"][1]["problem"]["code"] == "entity-not-found"
    assert features["features"]
    assert model["name"] == known["model"]["name"]


@pytest.mark.soak
def test_the_demo_accepts_the_users_own_extracts(newcomer: Newcomer, streamflow: Path) -> None:
    output = newcomer.run(COMMANDS[-1].replace("path/to/extracts", str(streamflow)))
    assert output.count("as the contract says") == 4
    assert "its clock at 2024-02-29" in output
