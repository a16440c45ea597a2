"""A command imports only the platforms that it uses: each of them takes seconds to import."""

import json
import subprocess
import sys
from collections.abc import Mapping

import pytest

from asof.settings import PROJECT
from tests.kits.models.scoring import Scene

SCRIPT = """
import json, runpy, sys
HEAVY = {"bentoml", "feast", "matplotlib", "mlflow", "pandas", "pandera", "prefect", "scipy", "sklearn", "sqlalchemy"}
try:
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
except SystemExit as ended:
    code = ended.code
print(json.dumps([code or 0, sorted(HEAVY & sys.modules.keys())]))
"""
PLATFORMS = {"bentoml", "feast", "matplotlib", "mlflow", "pandera", "prefect", "scipy", "sklearn"}
TABLES = {"pandas", "sqlalchemy"}


def imported(environment: Mapping[str, str], *words: str) -> set[str]:
    """The heavy packages that a command has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], cwd=PROJECT, env=dict(environment), capture_output=True, text=True
    )
    assert done.stdout, done.stderr
    code, names = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stdout + done.stderr
    return set(names)


@pytest.mark.parametrize("words", [("flows", "--help"), ("flows", "--version"), ("local", "status")], ids=" ".join)
def test_what_only_prints_imports_nothing_heavy(world: dict[str, str], words: tuple[str, ...]) -> None:
    found = imported({**world, "ASOF_POSTGRES_URL": ""}, *words)
    assert found == set()


@pytest.mark.parametrize(
    "words",
    [("history", "churn"), ("trace", "churn", "1"), ("score", "churn"), ("rollback", "churn", "--to", "1")],
    ids=" ".join,
)
def test_what_reads_registry_and_snapshots_imports_no_platform(
    scene: Scene, world: dict[str, str], words: tuple[str, ...]
) -> None:
    assert imported(world, "flows", *words) <= TABLES
