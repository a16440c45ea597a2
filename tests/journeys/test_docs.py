"""Every block of commands in docs/ (`sh`, `python` and `sql`), run page by page after a demo, as a reader types it."""

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from asof.settings import PROJECT
from simulator import SimulationPlan, month_end_before
from tests.kits.machine.newcomer import Newcomer
from tests.kits.machine.pages import BLOCK, script_of

pytestmark = pytest.mark.soak

PAGES = [page for page in sorted((PROJECT / "docs").rglob("*.md")) if BLOCK.search(page.read_text())]
IN_A_COPY = ("adding-a-use-case.md", "second-hour.md", "your-tables.md")
"""Pages that add to the project: test_adding_a_use_case.py and test_your_tables.py."""
PAGES = [page for page in PAGES if page.name not in IN_A_COPY]
FIRST = str(SimulationPlan(month_end_before(datetime.now(UTC).date())).as_of(0))
"""What `month_000` of the simulated extracts describes."""


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """After `make demo`, with .venv activated."""
    reader = Newcomer(tmp_path_factory.mktemp("reader"))
    reader.environment["PATH"] = f"{PROJECT / '.venv' / 'bin'}:{reader.environment['PATH']}"
    try:
        reader.run("make demo")
        yield reader
    finally:
        reader.run(f"{sys.executable} -m local wipe")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_succeed(page: Path, reader: Newcomer, tmp_path: Path) -> None:
    """In one shell, so that a variable that one block sets is there in the next; files go to a folder of the test."""
    script = script_of(page.read_text())
    script = re.sub(r"data/\w+|answer\.json|(?<==)api-keys", lambda name: str(tmp_path / name[0]), script)
    reader.run("make up ARGS=churn")
    reader.run(script if page.name == "tutorial.md" else script.replace("2024-01-31", FIRST))
