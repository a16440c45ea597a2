"""docs/start/your-tables.md and second-hour.md, step by step, in a copy of the project, on one table of contracts."""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from asof.settings import PROJECT, Settings
from tests.kits.machine.free_port import free_port
from tests.kits.machine.pages import code_of, script_of
from tests.kits.machine.prefect_database import copy_database
from tests.kits.machine.project_copy import copy_project, run

PAGE = (PROJECT / "docs" / "start" / "your-tables.md").read_text()
(TABLE,) = re.findall(r"^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
NEW, DEMO = (line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) for line in [block])
SECOND_HOUR, CLEAN_UP = (PROJECT / "docs" / "start" / "second-hour.md").read_text().split("## Clean up\n")
NOTEBOOK = PROJECT / "docs" / "start" / "from-ledger-to-chart.ipynb"


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


@pytest.fixture(scope="module")
def demonstrated(written: Path, world: dict[str, str]) -> str:
    """What the page's second command prints."""
    return run(written, f"{sys.executable} -m flows demo contracts --as-of 2024-02-29", world)


def test_what_it_writes_passes_the_projects_checks(written: Path, world: dict[str, str]) -> None:
    for command in ("ruff check", "ruff format --check"):
        run(written, f"{sys.executable} -m {command} asof/use_cases feature_repo", world)
    run(written, f"{Path(sys.executable).parent / 'lint-imports'}", world)


def test_the_second_command_ends_with_right_answers(demonstrated: str) -> None:
    assert DEMO.strip() == "make demo USE_CASE=contracts AS_OF=2024-02-29"
    assert demonstrated.count("as the contract says") == 3
    assert "promoted to Production" in demonstrated
    assert re.search(r"serves contracts:v1-", demonstrated)


def test_nothing_is_overwritten(written: Path, world: dict[str, str]) -> None:
    done = run(written, NEW.replace("python", sys.executable, 1), world, fails=True)
    assert "exists, and is not overwritten" in " ".join(done.split())


@dataclass(frozen=True)
class SecondHour:
    """What the page printed, and the console after its last step."""

    printed: str
    console: httpx.Client
    world: Mapping[str, str]

    def page(self, path: str) -> str:
        """The text of a page of the console."""
        answer = self.console.get(path)
        assert answer.status_code == 200, answer.text
        return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())


@pytest.fixture(scope="module")
def second_hour(
    written: Path, demonstrated: str, settings: Settings, world: dict[str, str], prefect_database: Path
) -> Iterator[SecondHour]:
    """The page's commands as they stand; `.venv` is the project's."""
    (written / ".venv").symlink_to(PROJECT / ".venv")
    copy_database(prefect_database, settings)
    names = ("ASOF_PORT", "ASOF_MLFLOW_PORT", "ASOF_PREFECT_PORT", "ASOF_CONSOLE_PORT")
    ports = {name: str(free_port(26000 + 100 * n, name)) for n, name in enumerate(names)}
    own = {**world, **ports, "MPLBACKEND": "Agg"}
    script = script_of(SECOND_HOUR).replace("localhost:3000", f"localhost:{ports['ASOF_PORT']}")
    (written / "page.sh").write_text(script)
    try:
        printed = run(written, "bash -eu -o pipefail page.sh", own)
        with httpx.Client(base_url=f"http://127.0.0.1:{ports['ASOF_CONSOLE_PORT']}", timeout=60) as client:
            yield SecondHour(printed, client, own)
    finally:
        run(written, script_of(CLEAN_UP), own)


@pytest.mark.soak
def test_in_the_second_hour_an_alert_leads_to_a_version_that_is_right(second_hour: SecondHour) -> None:
    printed = " ".join(second_hour.printed.split())
    for step in ("by version 1", "AUC of version 1 is", "was promoted", "took over"):
        assert step in printed


@pytest.mark.soak
def test_the_console_shows_what_the_second_hour_says(second_hour: SecondHour) -> None:
    assert "No alert is open" in second_hour.page("/")
    assert "Version 2 of contracts is in Production" in second_hour.page("/contracts/production")
    assert "Version 2 is still right." in second_hour.page("/contracts/monitoring")
    assert "2024-03-31" in second_hour.page("/contracts/data")


@pytest.mark.soak
def test_the_notebook_draws_the_answers_of_the_second_hour(second_hour: SecondHour, written: Path) -> None:
    program = code_of(NOTEBOOK) + "\nprint([each.get_label() for each in axes.get_lines()])\n"
    drawn = run(written, f"{sys.executable} - <<'END'\n{program}END\n", dict(second_hour.world))
    assert "version 1, 3,000 answers" in drawn
    assert "version 2, 3,000 answers" in drawn
