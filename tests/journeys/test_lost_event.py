"""An alert of which Prefect was never told: the next monitor asks for the retraining, and a worker does it."""

import json
from datetime import date
from typing import Any

import pytest

from asof.settings import Settings
from simulator import SimulationPlan
from tests.kits.machine.terminal import call_flows, deploy_all, prefect
from tests.kits.models.watched import Watched
from tests.kits.models.watched import watched as make
from training.release.registry.versions import production

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def watched(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Three months; from the second on users leave for other reasons."""
    plan = SimulationPlan(date(2024, 5, 31), users=1500, months=3, concept_change_month=1)
    return make(settings, plan, tmp_path_factory.mktemp("extracts"))


def result_of(world: dict[str, str], *words: str) -> dict[str, Any]:
    done = call_flows(world, *words, "churn", "--json")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert "error" not in result, done.stderr[-4000:]
    return result


def test_the_alert_is_retrained_by_a_worker_all_the_same(
    watched: Watched, world: dict[str, str], prefect_world: dict[str, str]
) -> None:
    watched.answer("1", 1)
    (lost,) = result_of(world, "monitor")["retraining"]
    assert lost["outcome"].startswith("no Prefect server is set")
    deploy_all(prefect_world)
    (asked,) = result_of(prefect_world, "monitor")["retraining"]
    assert (asked["alert"], asked["outcome"][-45:]) == (lost["alert"], " of the deployment `retrain` takes care of it")
    prefect(prefect_world, "worker", "start", "--pool", "asof", "--run-once")
    current = production(watched.settings, watched.use_case)
    assert current is not None
    assert (current.version, current.facts.as_of) == ("2", watched.moments[1])
    (alert,) = (each for each in result_of(world, "alerts")["alerts"] if each["alert"] == lost["alert"])
    assert [each["event"] for each in alert["history"]] == ["started", "claimed", "handled", "closed"]
