"""docs/adding-a-use-case.md, step by step, in a copy of the project: its commands, its files, its demo."""

import re
import sys
from pathlib import Path

import pytest

from asof.settings import PROJECT
from tests.kits.machine.project_copy import copy_project, run

PAGE = (PROJECT / "docs" / "adding-a-use-case.md").read_text()
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
FILES = re.findall(r"^```python\n# (\S+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("copy"))


@pytest.fixture(scope="module")
def with_wine(copy: Path, world: dict[str, str]) -> Path:
    """The copy, with the folder copied and the files written as the page says."""
    for command in COMMANDS.splitlines()[:-1]:
        run(copy, command, world)
    for name, content in FILES:
        assert (copy / name).is_file(), "the page replaces files that it copied"
        (copy / name).write_text(content)
    return copy


def test_the_page_copies_one_folder_writes_two_files_and_runs_the_demo() -> None:
    first, *_, last = COMMANDS.splitlines()
    assert first == "cp -r asof/use_cases/breast_cancer asof/use_cases/wine"
    assert last == "make demo USE_CASE=wine"
    assert [name for name, _ in FILES] == ["asof/use_cases/wine/data.py", "asof/use_cases/wine/features.py"]


def test_the_new_folder_passes_the_projects_checks(with_wine: Path, world: dict[str, str]) -> None:
    python = sys.executable
    run(with_wine, f"{python} -m ruff check asof/use_cases/wine", world)
    run(with_wine, f"{Path(python).parent / 'lint-imports'}", world)


def test_the_new_use_case_is_trained_promoted_bundled_and_served(with_wine: Path, world: dict[str, str]) -> None:
    output = run(with_wine, f"{sys.executable} -m flows demo wine", world)
    assert output.count("as the contract says") == 4
    assert "promoted to Production" in output
    assert re.search(r"serves wine:v1-", output)
