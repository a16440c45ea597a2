"""docs/models/adding-a-use-case.md, step by step, in a copy of the project: its commands, its files, its demo."""

import re
import sys
from pathlib import Path

import pytest

from asof.settings import PROJECT
from tests.kits.machine.project_copy import copy_project, run

PAGE = (PROJECT / "docs" / "models" / "adding-a-use-case.md").read_text()
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
FILES = re.findall(r"^```python\n# (\S+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("copy"))


@pytest.fixture(scope="module")
def with_iris(copy: Path, world: dict[str, str]) -> Path:
    """The copy, with the folder copied and the files written as the page says."""
    for command in COMMANDS.splitlines()[:-1]:
        run(copy, command, world)
    for name, content in FILES:
        assert (copy / name).is_file(), "the page replaces files that it copied"
        (copy / name).write_text(content)
    return copy


def test_the_page_copies_one_folder_writes_two_files_and_runs_the_demo() -> None:
    first, *_, last = COMMANDS.splitlines()
    assert first == "cp -r asof/use_cases/breast_cancer asof/use_cases/iris"
    assert last == "make demo USE_CASE=iris"
    assert [name for name, _ in FILES] == ["asof/use_cases/iris/data.py", "asof/use_cases/iris/features.py"]


def test_the_new_folder_passes_the_projects_checks(with_iris: Path, world: dict[str, str]) -> None:
    python = sys.executable
    run(with_iris, f"{python} -m ruff check asof/use_cases/iris", world)
    run(with_iris, f"{Path(python).parent / 'lint-imports'}", world)


def test_the_new_use_case_is_trained_promoted_bundled_and_served(with_iris: Path, world: dict[str, str]) -> None:
    output = run(with_iris, f"{sys.executable} -m flows demo iris", world)
    assert output.count("as the contract says") == 4
    assert "promoted to Production" in output
    assert re.search(r"serves iris:v1-", output)
