"""`make help` and the targets, `.env.example`, and locks that name no host."""

import ast
import inspect
import os
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from asof.settings import PROJECT, Settings

STAGES = {
    *("simulate", "ingest", "inspect", "retrain", "promote", "score"),
    *("history", "trace", "rollback", "bundle", "image"),
}


def _make(*words: str, **variables: str) -> str:
    # Of another make that runs these tests, the flags are not meant for this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment |= variables
    return subprocess.run(
        ["make", *words], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_make_help_lists_every_target() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    listed = set(re.findall(r"^  ([a-z-]+) +\S", _make("help"), re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert targets == listed == set(phony[1].split())
    assert targets >= STAGES


def test_make_without_a_target_is_make_help() -> None:
    assert _make() == _make("help")


def test_each_stage_runs_the_command_of_the_same_name_with_its_arguments() -> None:
    for stage in sorted(STAGES):
        assert f".venv/bin/python -m flows {stage} --some 'thing'\n" in _make("--dry-run", stage, "ARGS=--some 'thing'")


def test_the_variables_of_the_demo_become_options() -> None:
    commands = _make("--dry-run", "demo", "DATA=my folder", "AS_OF=2024-01-31", "USE_CASE=churn", "USERS=9", "MONTHS=2")
    line = " ".join(commands.replace("\\\n", " ").split())
    assert "flows demo 'churn' --data 'my folder' --as-of '2024-01-31' --users '9' --months '2'" in line


PROBE = """probe:
	@env
	@make --no-print-directory --dry-run ingest demo
"""


@pytest.mark.parametrize("how", ["on the command line", "in the environment"])
def test_a_nested_make_gets_none_of_the_variables_of_the_outer_one(how: str) -> None:
    """`make test ARGS=...` runs the README's own `make` commands."""
    makefile = (PROJECT / "Makefile").read_text()
    ours = {*re.findall(r"\$[({]([A-Z_]+)[)}]", makefile), *re.findall(r"^([A-Z_]+) :?=", makefile, re.MULTILINE)}
    assert ours >= {"ARGS", "DATA", "USE_CASE", "COMPOSE", "RUN"}
    foreign = dict.fromkeys(sorted(ours), "tests/asof -k 'foreign'")
    words = [f"--eval={PROBE}", "probe", "ASOF_BASE_IMAGE=mine"]
    if how == "on the command line":
        text = _make(*words, *(f"{name}={value}" for name, value in foreign.items()))
    else:
        text = _make(*words, **foreign)
    assert "foreign" not in text
    assert "ASOF_BASE_IMAGE=mine" in text, "what the commands themselves read is passed on"
    assert ".venv/bin/python -m flows ingest \n" in text
    assert not re.search(r"^(MAKEFLAGS|MFLAGS)=.", text, re.MULTILINE)


@pytest.mark.parametrize("flag", ["--always-make", "--silent", "--keep-going", "--jobs=2"])
def test_a_nested_make_gets_none_of_the_flags_of_the_outer_one(flag: str) -> None:
    assert _make("--eval=probe:\n\t@echo flags:$$MAKEFLAGS:$$MFLAGS:", "probe", flag) == "flags:::\n"


def test_the_example_file_names_every_setting_with_its_default_and_its_meaning() -> None:
    example = (PROJECT / ".env.example").read_text()
    shown = re.findall(r"^# (.*)\n#([A-Z_]+)=(.*)$", example, re.MULTILINE)
    described = _descriptions(Settings)
    expected = [
        (
            described[name],
            field.validation_alias or f"ASOF_{name.upper()}",
            str(field.default if field.default is not None else "").removeprefix(f"{PROJECT}/"),
        )
        for name, field in Settings.model_fields.items()
    ]
    assert shown == expected
    assert example.count("=") == len(expected)


def _descriptions(described: type) -> dict[str, str]:
    """The docstring below each attribute; pydantic would read them in each process that starts."""
    (node,) = ast.parse(inspect.getsource(described)).body
    assert isinstance(node, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(node.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def test_no_lock_names_a_host() -> None:
    locks = ("audit", "boosters", "catboost", "dev", "docs", "kubernetes", "lake", "ray", "serve")
    for lock in (f"{name}.txt" for name in locks):
        text = (PROJECT / "requirements" / lock).read_text()
        assert "--hash=sha256:" in text
        assert not re.search(r"://|index-url|find-links|trusted-host", text)


@pytest.mark.parametrize(
    ("tool", "error"),
    [
        ("exit 0", ""),
        ('for file; do :; done; echo "bad 2 GHSA-1 3" > "$file"; exit 1', "Error 1"),
        ("echo 'ConnectionError: Max retries exceeded' >&2; exit 1", "Error 3"),
    ],
    ids=["no advisories", "an advisory", "the database is away"],
)
def test_an_audit_that_could_not_run_is_an_error(tmp_path: Path, tool: str, error: str) -> None:
    shutil.copytree(PROJECT / "requirements", tmp_path / "requirements")
    for path in (".venv/.complete", ".venv-audit/.complete", ".venv-audit/bin/pip-audit", "dist/audit.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"#!/bin/sh\n{tool}\n")
    (tmp_path / ".venv-audit/bin/pip-audit").chmod(0o755)
    words = ["make", "-f", PROJECT / "Makefile", "-o", ".venv/.complete", "-o", ".venv-audit/.complete", "audit"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode == 0, error in done.stderr) == (not error, True), done.stderr
    assert ("GHSA-1" in done.stdout) == (error == "Error 1")
    assert ("Nothing was audited" in done.stderr) == (error == "Error 3")


def test_the_image_installs_what_serves_and_none_of_what_trains() -> None:
    names = set(re.findall(r"^([a-z0-9-]+)==", (PROJECT / "requirements" / "serve.txt").read_text(), re.MULTILINE))
    assert {"bentoml", "feast", "onnxruntime", "psycopg", "scikit-learn"} <= names
    assert not {"mlflow", "prefect", "dask", "mypy", "pytest", "pip", "uv"} & names
