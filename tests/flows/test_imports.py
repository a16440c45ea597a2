"""A command imports only the platforms that it uses: each of them takes seconds to import."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from asof.settings import PROJECT
from tests.kits.data.history import History
from tests.kits.machine.terminal import call_flows
from tests.kits.models.promotion import always
from tests.kits.models.scoring import Scene
from training.release.promotion.promote import promote
from training.release.registry.versions import ModelVersion

SCRIPT = """
import json, runpy, sys
HEAVY = {"bentoml", "feast", "matplotlib", "mlflow", "pandas", "pandera", "prefect", "scipy", "sklearn", "sqlalchemy"}
try:
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
except SystemExit:
    print(json.dumps(sorted(HEAVY & sys.modules.keys())))
"""


def imported(environment: Mapping[str, str], *words: str) -> set[str]:
    """The heavy packages that a command has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], cwd=PROJECT, env=dict(environment), capture_output=True, text=True
    )
    assert done.stdout, done.stderr
    assert "error:" not in done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("words", ["flows --help", "flows --version", "flows api-keys --help", "local status"])
def test_what_only_prints_imports_nothing_heavy(words: str, tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if name != "ASOF_POSTGRES_URL"}
    assert imported({**own, "ASOF_HOME": str(tmp_path)}, *words.split()) == set()


@pytest.fixture(scope="module")
def in_production(scene: Scene) -> ModelVersion:
    version = scene.versions["churn_v2"]
    promote(scene.settings, version, judge=always)
    return version


@pytest.mark.parametrize(
    "words",
    ["history churn", "trace churn {0}", "score churn", "promote churn {0} --dry-run", "rollback churn --to {0}"],
)
def test_what_reads_registry_and_snapshots_imports_no_platform(
    world: dict[str, str], in_production: ModelVersion, words: str
) -> None:
    found = imported(world, "flows", *words.format(in_production.version).split())
    assert found <= ({"pandas"} if words.startswith("score") else set())


def test_an_ingest_with_nothing_new_and_the_doctor_import_no_platform(world: dict[str, str], history: History) -> None:
    words = ("ingest", "churn", str(history.folder), "--as-of", str(history.plan.as_of(0)), "--backfill")
    assert "Nothing new" in call_flows(world, *words).stdout
    assert imported(world, "flows", *words) == set()
    assert imported(world, "flows", "parity", "churn") == set()
    assert imported(world, "flows", "doctor") == set()
