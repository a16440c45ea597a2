"""Where runs go does not depend on the folder of the command: a copy of the project, run from elsewhere."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from asof.settings import PROJECT

RUN = """
import json
from flows.runtime.environment import settings_with_tracking
from training.tracking.client import tracked_run
settings = settings_with_tracking()
with tracked_run(settings, "from elsewhere", "run") as (client, run):
    import mlflow
    mlflow.log_text("here", "note.txt")
    client.create_registered_model(run)
    info = client.get_run(run).info
    print(json.dumps([mlflow.get_registry_uri(), info.artifact_uri, info.run_name]))
"""
TABLES = """
import json, psycopg
from local.embedded_postgres import postgres
from asof.settings import Settings
with psycopg.connect(postgres.ensure(Settings()).conninfo("mlflow")) as connection:
    runs = connection.execute("SELECT r.name, e.name FROM runs r JOIN experiments e USING (experiment_id)").fetchall()
    models = connection.execute("SELECT name FROM registered_models").fetchall()
    print(json.dumps([runs, models]))
"""
OURS = ("ASOF_", "MLFLOW_", "PREFECT_")


@dataclass(frozen=True)
class Checkout:
    """A project folder with a stack of its own, and an empty folder to start commands in."""

    project: Path
    elsewhere: Path

    def run(self, *words: str, variables: Mapping[str, str] | None = None) -> str:
        """What a Python command says, started elsewhere, with no AsOf, MLflow or Prefect variable but these."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        environment = {**kept, "PYTHONPATH": str(self.project), **(variables or {})}
        command = [sys.executable, *words]
        done = subprocess.run(command, cwd=self.elsewhere, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    elsewhere.mkdir()
    for room in ("asof", "flows", "local", "training"):
        shutil.copytree(PROJECT / room, project / room, ignore=shutil.ignore_patterns("__pycache__"))
    checkout = Checkout(project, elsewhere)
    yield checkout
    checkout.run("-m", "local", "wipe")


def test_runs_and_versions_go_to_the_projects_own_database_from_whatever_folder(checkout: Checkout) -> None:
    foreign = checkout.elsewhere / ".env"
    foreign.write_text("MLFLOW_TRACKING_URI=sqlite:///foreign.db\nASOF_HOME=foreign\n")
    hostile = {
        "MLFLOW_REGISTRY_URI": "sqlite:///registry.db",
        "MLFLOW_EXPERIMENT_NAME": "foreign",
        "MLFLOW_EXPERIMENT_ID": "12345",
        "MLFLOW_RUN_ID": "0" * 32,
    }
    for variables in ({}, hostile):
        registry, artefacts, name = json.loads(checkout.run("-W", "ignore", "-c", RUN, variables=variables))
        assert registry.startswith("postgresql+psycopg2://")
        assert "/mlflow?" in registry
        assert artefacts.startswith((checkout.project / ".asof" / "artifacts").as_uri())
        assert name == "run"
    runs, models = json.loads(checkout.run("-c", TABLES))
    assert runs == [["run", "from elsewhere"]] * 2
    assert len(models) == 2
    assert list(checkout.elsewhere.iterdir()) == [foreign]


def test_the_projects_own_env_file_counts_from_whatever_folder(checkout: Checkout) -> None:
    (checkout.project / ".env").write_text(
        "MLFLOW_TRACKING_URI=sqlite:////srv/own.db\nASOF_HOME=kept\nASOF_PORT=3001\n"
    )
    (checkout.elsewhere / ".env").write_text("MLFLOW_TRACKING_URI=sqlite:////srv/foreign.db\nASOF_PORT=3002\n")
    tell = "from asof.settings import Settings as S; print(S().tracking_uri, S().home, S().port)"
    assert checkout.run("-c", tell).split() == ["sqlite:////srv/own.db", str(checkout.project / "kept"), "3001"]
    variables = {"MLFLOW_TRACKING_URI": "http://mlflow.example", "ASOF_HOME": "/srv/kept"}
    assert checkout.run("-c", tell, variables=variables).split() == ["http://mlflow.example", "/srv/kept", "3001"]
