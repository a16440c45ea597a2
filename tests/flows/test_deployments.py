"""prefect.yaml against a real Prefect server: every deployment registers, and a worker runs one of them."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import psycopg
import pytest
import yaml

from asof.settings import PROJECT, Settings
from simulator import SimulationPlan, simulate

DEPLOYMENTS = {each["name"] for each in yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]}


@pytest.fixture(scope="module")
def deployed(prefect_world: dict[str, str]) -> None:
    prefect(prefect_world, "work-pool", "create", "asof", "--type", "process")
    prefect(prefect_world, "--no-prompt", "deploy", "--all")


def prefect(world: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *words], cwd=PROJECT, env=world, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.usefixtures("deployed")
def test_every_deployment_registers_and_the_month_is_scheduled(prefect_world: dict[str, str]) -> None:
    found = json.loads(prefect(prefect_world, "deployment", "ls", "--output", "json"))
    assert {each["name"] for each in found} == DEPLOYMENTS
    scheduled = {each["name"] for each in found if each["schedules"]}
    assert scheduled == {"monthly"}


@pytest.mark.usefixtures("deployed")
def test_an_empty_list_of_schedules_stops_the_month(prefect_world: dict[str, str], tmp_path: Path) -> None:
    text = (PROJECT / "prefect.yaml").read_text()
    before, schedule, _ = text.partition("    schedules:")
    assert schedule
    (tmp_path / "stopped.yaml").write_text(before + "    schedules: []\n")
    prefect(
        prefect_world, "--no-prompt", "deploy", "--name", "monthly", "--prefect-file", str(tmp_path / "stopped.yaml")
    )
    found = json.loads(prefect(prefect_world, "deployment", "ls", "--output", "json"))
    assert {each["name"] for each in found} == DEPLOYMENTS
    assert not [each["name"] for each in found if each["schedules"]]


@pytest.mark.usefixtures("deployed")
def test_a_worker_runs_the_ingest_deployment(prefect_world: dict[str, str], settings: Settings, tmp_path: Path) -> None:
    plan = SimulationPlan(date(2024, 2, 29), users=30, months=2)
    simulate(plan, tmp_path / "extracts")
    parameters = {"folder": str(tmp_path / "extracts"), "first_as_of": str(plan.as_of(0)), "backfill": True}
    name = ("--flow-run-name", "two-months")
    prefect(prefect_world, "deployment", "run", "ingest/ingest", *name, "--params", json.dumps(parameters))
    prefect(prefect_world, "worker", "start", "--pool", "asof", "--run-once")
    runs = json.loads(prefect(prefect_world, "flow-run", "ls", "--flow-name", "ingest", "--output", "json"))
    assert [run["state_name"] for run in runs if run["name"] == "two-months"] == ["Completed"]
    artifacts = json.loads(prefect(prefect_world, "artifact", "ls", "--output", "json"))
    assert {"ingest", "materialise"} <= {each["key"] for each in artifacts}
    with psycopg.connect(settings.conninfo()) as connection:
        counts = connection.execute("SELECT count(*), count(DISTINCT as_of) FROM users").fetchone()
    assert counts == (60, 2)
