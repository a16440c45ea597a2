"""docs/your-tables.md, step by step, in a copy of the project: its table, its two commands, its answers."""

import re
import sys
from pathlib import Path

import psycopg
import pytest

from asof.settings import PROJECT, Settings
from tests.kits.machine.project_copy import copy_project, run

PAGE = (PROJECT / "docs" / "your-tables.md").read_text()
(TABLE,) = re.findall(r"^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
NEW, DEMO = (line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) for line in [block])


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("copy"))


@pytest.fixture(scope="module")
def written(copy: Path, settings: Settings, world: dict[str, str]) -> Path:
    """The copy with the use case that the page's first command wrote."""
    with psycopg.connect(settings.conninfo()) as connection:
        connection.execute(TABLE)
    run(copy, NEW.replace("python", sys.executable, 1), world)
    return copy


def test_what_it_writes_passes_the_projects_checks(written: Path, world: dict[str, str]) -> None:
    for command in ("ruff check", "ruff format --check"):
        run(written, f"{sys.executable} -m {command} asof/use_cases feature_repo", world)
    run(written, f"{Path(sys.executable).parent / 'lint-imports'}", world)


def test_the_second_command_ends_with_right_answers(written: Path, world: dict[str, str]) -> None:
    assert DEMO.strip() == "make demo USE_CASE=contracts AS_OF=2024-02-29"
    output = run(written, f"{sys.executable} -m flows demo contracts --as-of 2024-02-29", world)
    assert output.count("as the contract says") == 3
    assert "promoted to Production" in output
    assert re.search(r"serves contracts:v1-", output)


def test_nothing_is_overwritten(written: Path, world: dict[str, str]) -> None:
    done = run(written, NEW.replace("python", sys.executable, 1), world, fails=True)
    assert "exists, and is not overwritten" in " ".join(done.split())
