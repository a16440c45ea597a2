"""The triggers of prefect.yaml on a real Prefect server with its services: what an alert and an ingest set off."""

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from asof.settings import Settings
from flows.runtime.prefect_events import emit, start_run
from tests.kits.machine.prefect_database import prefect_server
from tests.kits.machine.terminal import deploy_all

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def address(server: Settings, prefect_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prefect_server(server, prefect_database, tmp_path_factory.mktemp("whole-prefect")) as address:
        yield address


@pytest.fixture(scope="module")
def deployed(address: str, world: dict[str, str]) -> Iterator[str]:
    """The server with every deployment; this process sees it, too."""
    deploy_all(world | {"PREFECT_API_URL": address})
    with temporary_settings({PREFECT_API_URL: address}):
        yield address


def runs(address: str, flow: str) -> list[dict[str, Any]]:
    body = {"flows": {"name": {"any_": [flow]}}}
    found: list[dict[str, Any]] = httpx.post(f"{address}/flow_runs/filter", json=body, timeout=60).json()
    return [each for each in found if not each["auto_scheduled"]]


def awaited(look: Callable[[], list[dict[str, Any]]]) -> dict[str, Any]:
    deadline = monotonic() + 90
    while not (found := look()):
        assert monotonic() < deadline, "nothing came"
        sleep(0.2)
    return found[0]


def test_an_alert_starts_the_retraining_with_its_id(deployed: str) -> None:
    alert = str(uuid4())
    resource = {"prefect.resource.id": f"asof.alert.{alert}", "asof.use_case": "wine", "asof.alert": alert}
    for retrain in ("false", "true"):
        assert emit(resource | {"asof.retrain": retrain}, {"title": "AUC is 0.49."}) == ""
    run = awaited(lambda: runs(deployed, "retrain"))
    assert run["parameters"] == {"use_case": "wine", "alert": alert}
    assert len(runs(deployed, "retrain")) == 1


def test_a_completed_ingest_starts_the_monitor(deployed: str) -> None:
    flow(name="ingest")(lambda: None)()
    assert awaited(lambda: runs(deployed, "monitor"))["parameters"] == {"use_case": "churn"}


def test_a_run_is_asked_for_once_for_each_key(deployed: str) -> None:
    parameters = {"use_case": "churn", "alert": str(uuid4())}
    names = [start_run("retrain/retrain", parameters, key=key) for key in ("a", "a", "b")]
    assert names[0] == names[1] != names[2]
    assert start_run("retrain/nothing", parameters, key="c") is None
