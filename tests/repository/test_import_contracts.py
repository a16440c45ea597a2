"""Each of import-linter's contracts fails when it is broken: `make check` proves only that they hold."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from asof.settings import PROJECT

LINTER = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
BREAKS = {
    "Rooms: data flows one way": ("simulator/plan.py", "import local.ports"),
    "asof: what both streams share lies below the service": ("asof/features/entity_key.py", "import asof.serving.http"),
    "The client stands alone: it may be copied out of the project": ("asof/client/retries.py", "import asof.settings"),
    "training: from extracts to a Bento": ("training/data/extracts/deliveries.py", "import training.audit"),
    "online_store: layers": (
        "online_store/pool.py",
        "import online_store.reading",
    ),
    "flows: layers": ("flows/runtime/progress.py", "import flows.stages"),
    "The offline stream does not import the service": ("training/metrics/plots.py", "import asof.serving.logs"),
    "Each platform only in its rooms": ("local/ports.py", "import mlflow"),
    "Use cases never import each other": ("asof/use_cases/churn/payloads.py", "import asof.use_cases.breast_cancer"),
}


def test_every_contract_fails_when_it_is_broken(tmp_path: Path) -> None:
    for package in LINTER["root_packages"]:
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    for file, line in BREAKS.values():
        with (tmp_path / file).open("a", encoding="utf-8") as module:
            module.write(f"\n{line}\n")
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = re.findall(r"^(.+?)(?: \(\d+ ignored imports?\))? BROKEN", done.stdout, re.MULTILINE)
    assert set(broken) == set(BREAKS) == {each["name"] for each in LINTER["contracts"]}
