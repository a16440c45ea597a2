"""A use case that does not import is reported in one sentence with its file and the error."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import asof.use_cases
from asof.errors import ConfigurationError
from asof.settings import PROJECT
from asof.use_cases import load, names
from doctor.context import read_use_cases
from doctor.finding import Severity

BROKEN = {
    "SyntaxError": ("USE_CASE = (\n", r"__init__\.py:1: SyntaxError: '\(' was never closed"),
    "absent package": (
        "from asof.use_cases.{name}.inside import X\n",
        r"inside\.py:2: ModuleNotFoundError: No module named 'not_installed_anywhere'",
    ),
    "ImportError": ("from asof.use_case import Gone\n", r"__init__\.py:1: ImportError: cannot import name 'Gone'"),
    "exception": (
        "\nraise ZeroDivisionError('first\\nsecond')\n",
        r"__init__\.py:2: ZeroDivisionError: first\. Correct",
    ),
    "SystemExit": ("import sys\nsys.exit('no licence')\n", r"__init__\.py:2: SystemExit: no licence"),
    "exit without a word": ("raise SystemExit\n", r"__init__\.py:1: SystemExit\. Correct"),
    "an address": ("raise ValueError('postgresql://ann:hunter2@h/db')\n", r"__init__\.py:1: ValueError\. Correct"),
    "null byte": ("x = 1\0\n", "does not import: .*SyntaxError"),
    "missing attribute": ("OTHER = 1\n", r"no UseCase named USE_CASE: define it in .*__init__\.py"),
    "something else": ("USE_CASE = 'churn'\n", r"no UseCase named USE_CASE: define it in .*__init__\.py"),
}

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Makes a use case of its own with that `__init__.py`; gives its name."""
    monkeypatch.setattr(asof.use_cases, "__path__", [*asof.use_cases.__path__, str(tmp_path)])

    def make(text: str) -> str:
        name = f"broken_{len(list(tmp_path.iterdir()))}"
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text.replace("{name}", name))
        (tmp_path / name / "inside.py").write_text("import os\nimport not_installed_anywhere\nX = 1\n")
        return name

    yield make
    for module in [each for each in sys.modules if each.startswith("asof.use_cases.broken_")]:
        del sys.modules[module]


@pytest.mark.parametrize("kind", BROKEN)
def test_it_is_named_with_its_file_and_the_error(write: Write, kind: str) -> None:
    text, words = BROKEN[kind]
    name = write(text)
    assert name in names()
    with pytest.raises(ConfigurationError, match=words) as caught:
        load(name)
    assert f"Use case '{name}'" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


OTHER_REQUEST = """
from dataclasses import replace
from pydantic import BaseModel
from asof.features.entity_key import IntegerKey
from asof.use_cases.churn import USE_CASE as CHURN

class Request(BaseModel):
    {member}

USE_CASE = replace(CHURN, name="{name}", model_name="{name}", request=Request)
"""


@pytest.mark.parametrize("member", ["user: str", "user_id: str", "user_id: int", "user_id: IntegerKey"])
def test_a_request_that_does_not_name_the_entity_by_its_key_is_refused(write: Write, member: str) -> None:
    name = write(OTHER_REQUEST.replace("{member}", member))
    words = f"{name!r} is keyed by user_id .text.: its request needs the member user_id: EntityKey"
    with pytest.raises(ConfigurationError, match=words):
        load(name)


def test_the_doctor_finds_it_and_looks_at_the_others(write: Write) -> None:
    broken = [write(text) for text, _ in BROKEN.values()]
    use_cases, findings = read_use_cases(names())
    assert {each.name for each in use_cases} == {"breast_cancer", "churn", "diabetes", "wine"}
    assert [each.name for each in findings] == [f"use-case:{name}" for name in sorted(broken)]
    assert {each.severity for each in findings} == {Severity.ERROR}
    with pytest.raises(ConfigurationError, match="There is no use case 'nowhere'"):
        read_use_cases(["nowhere"])


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code alone, with a third use case that does not import."""
    folder = tmp_path_factory.mktemp("checkout")
    for room in ("asof", "doctor", "flows", "training", "local", "roles", "online_store", "feature_repo", "simulator"):
        shutil.copytree(PROJECT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    third = folder / "asof" / "use_cases" / "third"
    third.mkdir()
    (third / "__init__.py").write_text("from asof.use_cases.third.payloads import Request\n")
    (third / "payloads.py").write_text("class Request(:\n")
    return folder


def run(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    own = {"ASOF_HOME": str(checkout / "home"), "COLUMNS": "1000", "PYTHONPATH": str(checkout)}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASOF_")} | own
    command = [sys.executable, "-m", "flows", *words]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)


def test_a_command_reports_it_in_one_sentence(checkout: Path) -> None:
    done = run(checkout, "bundle", "third", "--without-model")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    expected = "error: ConfigurationError: Use case 'third' does not import: asof/use_cases/third/payloads.py:1: Synt"
    assert line.startswith(expected)


def test_the_doctor_goes_on_to_its_other_checks(checkout: Path) -> None:
    done = run(checkout, "doctor", "--json")
    assert done.returncode == 1, done.stderr
    assert '"use-case:third"' in done.stdout
    assert '"service-stopped"' in done.stdout
