"""The concept changes: found in its first labelled month, retrained by a worker, promoted, closed with that story."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from asof.settings import Settings
from simulator import SimulationPlan
from tests.kits.machine.terminal import Done, call_flows, deploy_all, prefect, start_flows
from tests.kits.models.watched import Watched
from tests.kits.models.watched import watched as make
from training.release.registry.versions import production

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def watched(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Four months; from the third on users leave for other reasons."""
    plan = SimulationPlan(date(2024, 5, 31), users=1500, months=4, concept_change_month=2)
    return make(settings, plan, tmp_path_factory.mktemp("extracts"))


def result_of(done: Done, code: int) -> dict[str, Any]:
    assert done.returncode == code, done.stderr[-4000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def figures(result: dict[str, Any], subject: str) -> dict[str, Any]:
    chosen = [each for each in result["figures"] if each["subject"] == subject]
    newest = max((each["as_of"] for each in chosen), default=None)
    return {f"{each['metric']} {each['about']}".strip(): each for each in chosen if each["as_of"] == newest}


def test_while_the_concept_holds_nothing_is_wrong(watched: Watched, world: dict[str, str]) -> None:
    watched.answer("1", 1)
    result = result_of(call_flows(world, "monitor", "churn", "--json"), 0)
    assert (result["version"], result["alerts"], len(result["windows"])) == ("1", [], 1)
    auc = figures(result, "performance")["auc"]
    assert (auc["n"], auc["verdict"]) == (1500, "ok")
    assert auc["detail"]["promotion"][1] < auc["value"]


def test_a_changed_concept_is_an_error_in_its_first_labelled_month(watched: Watched, world: dict[str, str]) -> None:
    watched.answer("1", 2)
    result = result_of(call_flows(world, "monitor", "churn", "--json"), 1)
    assert len(result["windows"]) == 1
    errors = [each for each in result["alerts"] if each["severity"] == "error"]
    assert "performance" in {each["rule"] for each in errors}
    assert not [each for each in result["alerts"] if each["rule"] in ("drift", "joint-shift", "score-shift")]
    (told,) = result["retraining"]
    assert told["outcome"] == "no Prefect server is set: run `python -m flows monitor churn --retrain`"
    screen = call_flows(world, "monitor", "churn")
    assert screen.returncode == 1
    assert "AUC of version 1 is 0." in " ".join(screen.stdout.split())
    assert max(map(len, screen.stdout.splitlines())) <= 120
    assert screen.stdout.startswith("churn version 1: ")


def test_an_alert_of_which_prefect_was_never_told_is_retrained_once_by_a_worker(
    watched: Watched, world: dict[str, str], prefect_world: dict[str, str]
) -> None:
    """Two monitors at once ask for the run."""
    deploy_all(prefect_world)
    with ThreadPoolExecutor() as pool:
        asked = [*pool.map(lambda _: start_flows(prefect_world, "monitor", "churn", "--json"), range(2))]
    first, second = (each["outcome"] for done in asked for each in result_of(done, 1)["retraining"])
    assert first == second
    assert first.endswith("of the deployment `retrain` takes care of it")
    prefect(prefect_world, "worker", "start", "--pool", "asof", "--run-once")
    current = production(watched.settings, watched.use_case)
    assert current is not None
    assert (current.version, current.facts.as_of) == ("2", watched.moments[2])
    listed = result_of(call_flows(world, "alerts", "churn", "--json"), 0)
    story = next(each for each in listed["alerts"] if each["rule"] == "performance")
    assert [each["event"] for each in story["history"]] == ["started", "started", "claimed", "handled", "closed"]
    assert story["history"][-1]["detail"]["reason"] == "version 2 took over"
    assert not [each for each in listed["alerts"] if each["open"]]


def test_afterwards_nothing_is_wrong_and_the_history_can_be_read(watched: Watched, world: dict[str, str]) -> None:
    result = result_of(call_flows(world, "monitor", "churn", "--json"), 0)
    assert (result["version"], result["alerts"]) == ("2", [])
    screen = call_flows(world, "alerts", "churn")
    assert screen.returncode == 0
    assert "0 of them open" in screen.stdout


def test_the_page_tells_that_story(watched: Watched, world: dict[str, str], tmp_path: Path) -> None:
    watched.answer("2", 2)
    file = tmp_path / "page.html"
    kept = result_of(call_flows(world, "monitor", "churn", "--report", str(file), "--json"), 0)["page"]
    told = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", file.read_text()))
    assert "Version 2 is still right." in told
    assert "It replaced version 1 on " in told
    place = told.index("what came of each")
    for step in (
        "AUC of version 1 is 0.",
        "retraining began",
        "was trained as of 2024-04-30, and was promoted",
        "took over",
    ):
        place = told.index(step, place)
    assert sorted(Path(kept).parent.glob("*.html"))[-1] == Path(kept)
