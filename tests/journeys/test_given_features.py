"""A use case with stored and given features, in a copy of the project: from extracts to the served Bento."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits.machine.project_copy import copy_project
from tests.kits.use_cases.beside import KIT, customers, write_month

DEMO = """
from datetime import date
from pathlib import Path
from rich.console import Console
from flows.terminal.demo import demo, user_extracts
extracts = user_extracts(Path("shop"), date(2024, 1, 31))
raise SystemExit(not demo(Console(), "returns", extracts, users=0, months=0))
"""


@pytest.mark.soak
def test_the_served_bento_answers_by_stored_and_given_features(tmp_path: Path, world: dict[str, str]) -> None:
    """A known customer, one without a basket, a basket in cents, and an unknown customer."""
    copy = copy_project(tmp_path / "copy")
    shutil.copytree(KIT / "returns", copy / "asof" / "use_cases" / "returns", ignore=shutil.ignore_patterns("__py*"))
    shutil.copy2(KIT / "returns_features.py", copy / "feature_repo")
    write_month(copy / "shop" / "month_000", customers(600, 1))
    done = subprocess.run([sys.executable, "-c", DEMO], cwd=copy, env=world, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert done.stdout.count("as the contract says") == 4
    assert "promoted to Production" in done.stdout
