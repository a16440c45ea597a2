"""prefect.yaml against a real Prefect server: every deployment registers, and a worker runs one of them."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from asof.settings import PROJECT, Settings
from simulator import SimulationPlan, simulate
from tests.kits.machine.terminal import deploy_all, prefect

SCHEDULED = {"audit", "monitor", "monthly"}
DEPLOYMENTS = {each["name"] for each in yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]}


@pytest.fixture(scope="module")
def deployed(prefect_world: dict[str, str]) -> dict[str, str]:
    """The environment of the server with the work pool and every deployment."""
    deploy_all(prefect_world)
    return prefect_world


def listed(world: dict[str, str], what: str) -> list[dict[str, Any]]:
    """What the server lists: `deployments`, `flow_runs` or `artifacts`."""
    answer = httpx.post(f"{world['PREFECT_API_URL']}/{what}/filter", json={}, timeout=60).raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found


def test_every_deployment_registers_with_its_schedule(deployed: dict[str, str]) -> None:
    found = listed(deployed, "deployments")
    assert {each["name"] for each in found} == DEPLOYMENTS
    assert {each["name"] for each in found if each["schedules"]} == SCHEDULED


def test_an_empty_list_of_schedules_stops_the_month(deployed: dict[str, str], tmp_path: Path) -> None:
    text = (PROJECT / "prefect.yaml").read_text()
    before, monthly, after = text.partition("  - name: monthly\n")
    own, schedule, _ = after.partition("    schedules:")
    assert schedule
    (tmp_path / "stopped.yaml").write_text(before + monthly + own + "    schedules: []\n")
    prefect(deployed, "--no-prompt", "deploy", "--name", "monthly", "--prefect-file", str(tmp_path / "stopped.yaml"))
    found = listed(deployed, "deployments")
    assert {each["name"] for each in found} == DEPLOYMENTS
    assert {each["name"] for each in found if each["schedules"]} == SCHEDULED - {"monthly"}


def test_a_worker_runs_the_ingest_deployment(deployed: dict[str, str], settings: Settings, tmp_path: Path) -> None:
    plan = SimulationPlan(date(2024, 2, 29), users=30, months=2)
    simulate(plan, tmp_path / "extracts")
    parameters = {"folder": str(tmp_path / "extracts"), "first_as_of": str(plan.as_of(0)), "backfill": True}
    name = ("--flow-run-name", "two-months")
    prefect(deployed, "deployment", "run", "ingest/ingest", *name, "--params", json.dumps(parameters))
    prefect(deployed, "worker", "start", "--pool", "asof", "--run-once")
    states = [run["state_name"] for run in listed(deployed, "flow_runs") if run["name"] == "two-months"]
    assert states == ["Completed"]
    assert {"ingest", "materialise", "parity"} <= {each["key"] for each in listed(deployed, "artifacts")}
    with psycopg.connect(settings.conninfo()) as connection:
        counts = connection.execute("SELECT count(*), count(DISTINCT as_of) FROM users").fetchone()
    assert counts == (60, 2)
