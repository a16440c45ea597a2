"""The use case is the first argument of every command, and may be left out where it is clear."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.core import TyperArgument
from typer.testing import CliRunner

import asof.use_cases
from asof.errors import ConfigurationError
from asof.settings import PROJECT
from asof.use_cases import default_name
from flows.runtime.progress import log
from flows.terminal.command import AsOfCommand, UseCaseCommand
from flows.terminal.options import AnyUseCase, StoreUseCase, UseCaseOrAll
from flows.terminal.output import run_command
from flows.terminal.screens.screen import Screen
from tests.kits.machine.terminal import every_command

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
    commands = every_command()
    arguments = {
        name: [each.name for each in command.params if isinstance(each, TyperArgument)]
        for name, command in commands.items()
    }
    keys = {f"api-keys {each}" for each in ("add", "list", "remove")}
    without = {"databases", "keys", "ledger keep", "new", "simulate", *keys}
    assert {name for name, words in arguments.items() if words[:1] != ["use_case"]} == without
    options = {each.name for command in commands.values() for each in command.params} - {"use_case"}
    assert not any("use_case" in str(name) for name in options)


@pytest.mark.parametrize(
    ("words", "completions"),
    [("flows switch", "switch-store"), ("flows ingest", "ingest"), ("flows retrain ch", "churn")],
)
def test_the_documented_shell_function_completes_commands_and_use_cases(words: str, completions: str) -> None:
    page = (PROJECT / "docs" / "operations" / "operations.md").read_text()
    (block,) = (each for each in re.findall("```shell\n(.*?)```", page, re.DOTALL) if "complete -o" in each)
    script = f'{block}\nCOMP_WORDS=({words}); COMP_CWORD={words.count(" ")}; _flows; echo "${{COMPREPLY[@]}}"'
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=PROJECT, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.stdout.strip() == completions, done.stderr


def test_every_command_has_the_same_options() -> None:
    every = every_command()
    options = {name: {word for each in command.params for word in each.opts} for name, command in every.items()}
    assert {name for name, words in options.items() if not words >= {"--quiet", "--verbose"}} == set()
    assert {name for name, words in options.items() if "--json" not in words} == {"serve"}


@pytest.mark.parametrize(("word", "expected"), [("", "all"), ("-q", "first"), ("-v", "  0.0 s  working: a step")])
def test_verbosity_is_that_of_one_command(word: str, expected: str) -> None:
    app = typer.Typer()

    @app.command(cls=AsOfCommand)
    def work() -> None:
        with run_command("working") as emit:
            log.info("a step")
            emit({}, lambda _: Screen("first", {"more": "all"}))

    done = CliRunner().invoke(app, [word] if word else [])
    assert done.exit_code == 0
    assert expected in done.output
    assert ("all" in done.output) == (word != "-q")
    assert ("a step" in done.output) == (word == "-v")
