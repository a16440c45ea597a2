"""The chart's jobs of an install and its ingest, by the commands and variables of the rendered documents."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asof.settings import PROJECT
from local.chart.__main__ import HELM, VERSIONS
from local.chart.pods import pods
from local.chart.tools import Document, render, tool
from tests.kits.machine.roles import FIELDS, Town, own_server

pytestmark = pytest.mark.soak

VIEWS = "SELECT feature_view_name FROM feature_views"


def run(container: Document, secrets: dict[str, str], home: Path) -> None:
    """Its command as the kubelet starts it; `secrets` by variable."""
    variables = {each["name"]: each.get("value") or secrets[each["name"]] for each in container["env"]}
    own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(PROJECT)}
    here = {
        "HOME": str(home),
        "ASOF_HOME": str(home),
        "ASOF_POSTGRES_SSLMODE": "disable",
        "USERS": "200",
        "MONTHS": "3",
    }
    environment = {**own, "PREFECT_HOME": str(home / "prefect"), **variables, **here}
    done = subprocess.run(container["command"], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def secrets_of(town: Town) -> dict[str, str]:
    url = town.as_role("asof_ingest").postgres_url
    texts = {"admin_postgres_url": town.admin.admin_postgres_url, "postgres_url": url}
    texts |= {field: getattr(town.admin, field) for field in FIELDS.values()}
    return {f"ASOF_{name.upper()}": secret.get_secret_value() for name, secret in texts.items() if secret} | {
        "ASOF_ERASURE_KEY": "x" * 32
    }


def test_an_empty_server_gets_roles_and_features_once_and_again_and_then_rows(tmp_path: Path) -> None:
    subprocess.run(["make", ".venv-kubernetes/.complete"], cwd=PROJECT, check=True)
    documents = render(tool("helm"), HELM / "asof", HELM / "examples" / "small.yaml", VERSIONS[-1])
    containers = {pod.title: pod.containers[0] for pod in pods(documents)}
    jobs = [container for title, container in containers.items() if title.startswith("Job/")]
    assert [job["name"] for job in jobs] == ["databases", "features"]
    with own_server(tmp_path / "server") as town:
        for _ in range(2):
            for job in jobs:
                run(job, secrets_of(town), tmp_path)
        run(containers["CronJob/asof-ingest"], secrets_of(town), tmp_path)
        with town.as_admin() as connection:
            assert ("subs_profile_fv",) in connection.execute(VIEWS).fetchall()
            assert connection.execute("SELECT count(*) > 0 FROM materialisations").fetchone() == (True,)
