"""The month's work by Prefect's workers; and the Bento that they build, as an image in place of that of code alone."""

import json
import os
import shutil
import sys
from pathlib import Path

from tests.containers.conftest import Say
from tests.containers.images import WITH_MODEL, prediction_image
from tests.containers.stack_kit import Stack, run, until


def _runs(stack: Stack, flow: str) -> dict[str, str]:
    """The states of the flow's runs, by their names."""
    runs = f"SELECT r.name, r.state_name FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE f.name = '{flow}'"
    return dict(line.split("|") for line in stack.sql("prefect", f"{runs} ORDER BY r.created").splitlines())


def test_the_monthly_deployment_is_done_by_the_workers_whose_roles_may(stack: Stack, say: Say) -> None:
    for each in ("month_002", "labels_001"):
        shutil.copytree(stack.folder / "staged" / each, stack.folder / "extracts" / each, dirs_exist_ok=True)
    params = json.dumps({"first_as_of": stack.variables["FIRST_AS_OF"]})
    words = ("prefect", "deployment", "run", "monthly/monthly", "--params", params, "--flow-run-name", "third-month")
    done = stack.inside("worker-training", *words)
    assert done.returncode == 0, done.stderr

    def ended() -> str | None:
        state = _runs(stack, "monthly").get("third-month", "")
        return state if state in {"Completed", "Failed", "Crashed", "Cancelled"} else None

    state = until(ended, "the month is done", within=600)
    say(f"the monthly run is {state}")
    assert state == "Completed", stack.compose("logs", "--no-color", "--tail", "60", "worker-ingest", "worker-training")
    assert stack.sql("asof", "SELECT count(DISTINCT as_of) FROM users") == "3"
    by = stack.sql(
        "prefect", "SELECT DISTINCT work_queue_name FROM flow_run WHERE work_queue_name IS NOT NULL ORDER BY 1"
    )
    assert by.split() == ["ingest", "training"]


def test_the_bento_that_the_worker_built_serves_from_its_own_image(stack: Stack, say: Say, tmp_path: Path) -> None:
    found = stack.inside("worker-training", "python", "-m", "flows", "bundle", "churn", "--json")
    assert found.returncode == 0, found.stderr
    bento = json.loads(found.stdout.splitlines()[-1])["bento_tag"]
    archive = "/var/lib/asof/exported.bento"
    exported = stack.inside("worker-training", "bentoml", "export", bento, archive)
    assert exported.returncode == 0, exported.stderr
    run("docker", "cp", f"{stack.container('worker-training')}:{archive}", str(tmp_path / "exported.bento"))
    stack.inside("worker-training", "rm", archive)
    _import(tmp_path)
    prediction_image(tmp_path / "bentoml", WITH_MODEL, "--bento", bento)
    say(f"built {WITH_MODEL} of {bento}")

    of_code = stack.predict().json()
    stack.compose("up", "-d", "--no-deps", "prediction", PREDICTION_IMAGE=WITH_MODEL, FOLLOW="")
    stack.wait_until_ready()
    of_model = stack.predict().json()

    assert of_model["model"]["bento"] == bento
    assert of_model["probability"] == of_code["probability"]
    stack.compose("up", "-d", "--no-deps", "prediction")
    stack.wait_until_ready()
    assert stack.predict().json()["model"]["bento"] == of_code["model"]["bento"]


def _import(folder: Path) -> None:
    words = (sys.executable, "-m", "bentoml", "import", str(folder / "exported.bento"))
    run(*words, env={**os.environ, "BENTOML_HOME": str(folder / "bentoml")})
