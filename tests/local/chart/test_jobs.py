"""The chart's jobs of an install, by the commands and variables of the rendered documents, on an empty server."""

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
    image = {"HOME": str(home), "ASOF_HOME": str(home), "PREFECT_HOME": str(home / "prefect")}
    environment = {**own, **image, **variables, "ASOF_POSTGRES_SSLMODE": "disable"}
    done = subprocess.run(container["command"], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def secrets_of(town: Town) -> dict[str, str]:
    url = town.as_role("asof_ingest").postgres_url
    texts = {"admin_postgres_url": town.admin.admin_postgres_url, "postgres_url": url}
    texts |= {field: getattr(town.admin, field) for field in FIELDS.values()}
    return {f"ASOF_{name.upper()}": secret.get_secret_value() for name, secret in texts.items() if secret} | {
        "ASOF_ERASURE_KEY": "x" * 32
    }


def test_they_make_roles_and_register_features_once_and_again(tmp_path: Path) -> None:
    subprocess.run(["make", ".venv-kubernetes/.complete"], cwd=PROJECT, check=True)
    documents = render(tool("helm"), HELM / "asof", HELM / "examples" / "small.yaml", VERSIONS[-1])
    jobs = {pod.title: pod.containers[0] for pod in pods(documents) if pod.kind == "Job"}
    assert list(jobs) == ["Job/asof-databases", "Job/asof-features"]
    with own_server(tmp_path / "server") as town:
        for _ in range(2):
            for job in jobs.values():
                run(job, secrets_of(town), tmp_path)
        with town.as_admin() as connection:
            assert ("subs_profile_fv",) in connection.execute(VIEWS).fetchall()
