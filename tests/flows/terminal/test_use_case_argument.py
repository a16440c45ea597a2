"""The use case is the first argument of every command, and may be left out where it is clear."""

from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.core import TyperArgument
from typer.main import get_command
from typer.testing import CliRunner

import asof.use_cases
from asof.errors import ConfigurationError
from asof.use_cases import default_name
from flows.__main__ import app as flows
from flows.terminal.use_case_argument import AnyUseCase, StoreUseCase, UseCaseCommand, UseCaseOrAll

app = typer.Typer()


@app.command(cls=UseCaseCommand)
def load(use_case: StoreUseCase, folder: Annotated[str, typer.Argument()] = "data", day: str = "") -> None:
    typer.echo(f"{use_case} {folder} {day}")


@app.command(cls=UseCaseCommand)
def judge(use_case: AnyUseCase, version: str) -> None:
    typer.echo(f"{use_case} {version}")


@app.command(cls=UseCaseCommand)
def look(use_case: UseCaseOrAll) -> None:
    typer.echo(use_case or "all")


@pytest.fixture(autouse=True)
def _no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASOF_USE_CASE", "")


@pytest.mark.parametrize(
    ("words", "output"),
    [
        ("load", "churn data"),
        ("load churn", "churn data"),
        ("load breast_cancer", "breast_cancer data"),
        ("load inbox", "churn inbox"),
        ("load churn inbox", "churn inbox"),
        ("load --day 1 churn inbox", "churn inbox 1"),
        ("load inbox --day churn", "churn inbox churn"),
        ("load ./churn", "churn ./churn"),
        ("load churn churn", "churn churn"),
        ("judge churn 1", "churn 1"),
        ("judge churn -", "churn -"),
        ("look", "all"),
        ("look churn", "churn"),
    ],
)
def test_a_first_argument_that_names_a_use_case_is_one(words: str, output: str) -> None:
    done = CliRunner().invoke(app, words.split())
    assert (done.exit_code, done.stdout.strip()) == (0, output), done.output


@pytest.mark.parametrize("words", ["judge chrun 1", "load chrun inbox", "look chrun"])
def test_one_that_can_be_nothing_else_must_exist(words: str) -> None:
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 1
    assert "no use case 'chrun'; there are: breast_cancer, churn" in " ".join(done.output.split())


def test_where_several_qualify_none_is_taken_and_the_message_says_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = CliRunner().invoke(app, ["judge", "1"])
    assert done.exit_code == 1
    assert "first argument, or in ASOF_USE_CASE: breast_cancer, churn, diabetes, wine." in " ".join(done.output.split())
    monkeypatch.setenv("ASOF_USE_CASE", "breast_cancer")
    assert CliRunner().invoke(app, ["judge", "1"]).stdout == "breast_cancer 1\n"
    assert CliRunner().invoke(app, ["judge", "churn", "1"]).stdout == "churn 1\n"


def test_one_that_does_not_import_may_be_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_name(from_store=True) == "churn"
    (tmp_path / "broken_one").mkdir()
    (tmp_path / "broken_one" / "__init__.py").write_text("1 / 0\n")
    monkeypatch.setattr(asof.use_cases, "__path__", [*asof.use_cases.__path__, str(tmp_path)])
    with pytest.raises(ConfigurationError, match="ASOF_USE_CASE: broken_one, churn"):
        default_name(from_store=True)


def test_help_needs_no_use_case() -> None:
    done = CliRunner().invoke(app, ["judge", "--help"])
    assert done.exit_code == 0
    assert "[USE_CASE] {version}" in done.output


def test_every_command_that_takes_a_use_case_takes_it_first() -> None:
    commands = get_command(flows).commands  # type: ignore[attr-defined]
    arguments = {
        name: [each.name for each in command.params if isinstance(each, TyperArgument)]
        for name, command in commands.items()
    }
    without = {"api-keys", "databases", "keys", "simulate"}
    assert {name for name, words in arguments.items() if words[:1] != ["use_case"]} == without
    options = {each.name for command in commands.values() for each in command.params} - {"use_case"}
    assert not any("use_case" in str(name) for name in options)
