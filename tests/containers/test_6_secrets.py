"""No secret of the stack shows: in logs, command lines, databases, images, or anything that the service tells."""

import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.containers.images import NAMES, WITH_MODEL
from tests.containers.stack_kit import JOBS, LONG_RUNNING, Stack, run
from tests.kits.machine.secret import leaks

IMAGES = (NAMES["FLOWS_IMAGE"], NAMES["MLFLOW_IMAGE"], NAMES["PREDICTION_IMAGE"], WITH_MODEL)
FOLDERS = ("/etc", "/home", "/opt/asof", "/opt/mlflow", "/root", "/srv", "/tmp", "/var/lib", "/var/log")
DUMP = 'PGPASSWORD=$POSTGRES_PASSWORD exec pg_dump -U postgres --inserts "$0"'


def _logs(stack: Stack, service: str) -> str:
    words = ["docker", "logs", stack.container(service)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    return done.stdout


def _told(stack: Stack) -> Iterator[tuple[str, str]]:
    """What the service tells those who have a key, and those who have none."""
    keys = {"no key": "", "curl": stack.secrets["API_KEY"], "prometheus": stack.secrets["METRICS_KEY"]}
    asked = [
        "/model",
        "/docs.json",
        "/metrics",
        "/schema.json",
        "/readyz",
        "/",
        "/absent",
        f"/features/{stack.users[0]}",
    ]
    with httpx.Client(base_url=stack.address("PREDICTION_PORT"), timeout=30) as client:
        for name, key in keys.items():
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            answers = [client.get(path, headers=headers) for path in asked]
            answers += [client.post("/predict", content=body, headers=headers) for body in ("{", '{"user_id": "x"}')]
            for answer in answers:
                yield f"{answer.request.url} for {name}", f"{answer.headers} {answer.text}"


def test_nothing_that_is_said_or_kept_holds_a_secret(stack: Stack) -> None:
    places = {f"log of {each}": _logs(stack, each) for each in (*LONG_RUNNING, *JOBS)}
    places |= {
        f"processes of {each}": run("docker", "top", stack.container(each), "-eo", "pid,args") for each in LONG_RUNNING
    }
    for database in ("asof", "mlflow", "prefect"):
        places[f"database {database}"] = stack.inside("postgres", "sh", "-c", DUMP, database).stdout
    places |= dict(_told(stack))
    assert all(len(places[f"database {each}"]) > 1000 for each in ("asof", "mlflow", "prefect"))

    assert leaks(stack.secrets, places) == []
    stack.account["searched for secrets"] = f"{len(stack.secrets)} in {len(places)} places, 0 found"


@pytest.mark.parametrize("image", IMAGES)
def test_no_layer_of_an_image_holds_a_secret(stack: Stack, image: str) -> None:
    outputs = {
        "history": run("docker", "history", "--no-trunc", image),
        "configuration": run("docker", "image", "inspect", image),
    }
    assert leaks(stack.secrets, outputs) == []
    patterns = "\n".join(stack.secrets.values())
    words = ["docker", "run", "--rm", "-i", "--user", "0", "--entrypoint", "grep", image, "-rlF", "-f", "-", *FOLDERS]
    done = subprocess.run(words, input=patterns, capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_the_image_of_the_flows_holds_the_project_and_nothing_else_of_the_checkout(stack: Stack) -> None:
    there = set(stack.inside("worker-training", "ls", "-A", "/opt/asof").stdout.split())
    assert there >= {"asof", "feature_repo", "flows", "local", "online_store", "roles", "training", ".code-version"}
    assert not there & {".env", ".git", ".keys", ".venv", ".asof", "tests", "docs", "benchmarks"}
