"""`bentoml`, `feast`, `mlflow` or `prefect`, typed without `make env` -> the same in the environment of the stack.

`make setup` links this file into .venv, where each start of Python calls `prepare`: a command of another name costs one
look. What is set already stays. Nothing of the project is imported here, since `bentoml serve` may run a Bento that has
modules of the same names.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

COMMANDS = ("bentoml", "feast", "mlflow", "prefect")
ALL = {"ASOF_FEAST_HOST", "BENTOML_HOME", "MLFLOW_REGISTRY_URI"}
"""Where these are set, `make env` was evaluated."""
NEEDS = {"feast": "ASOF_FEAST_HOST", "mlflow": "MLFLOW_TRACKING_URI"}
"""The variable without which a command has nothing to work on."""
PROJECT = Path(__file__).resolve().parents[1]


def prepare() -> None:
    """Completes the environment of a command; ends it with a sentence where the stack must run for it, and does not."""
    _, program, *words = *sys.orig_argv, ""
    command = Path(program).name
    if command not in COMMANDS or Path(program).parent.resolve() != Path(sys.executable).parent.resolve():
        return
    if not os.environ.keys() >= ALL:
        os.environ.update({**_surroundings(command), **os.environ})
    if NEEDS.get(command, "PATH") not in os.environ and not _asks_for_help(words):
        _end(f"{command}: the project's PostgreSQL does not run, `make up` starts it.")
    if command == "bentoml" and "containerize" in words:
        # BentoML copies the Bento there, and reads its template only from below the working folder (BentoML#5566).
        os.chdir(tempfile.gettempdir())


def _surroundings(command: str) -> dict[str, str]:
    asked = [sys.executable, "-m", "local", "env", "--running"]
    done = subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        _end(f"{command}: the project's settings cannot be read, `make doctor` says why.")
    known: dict[str, str] = json.loads(done.stdout)
    return known


def _asks_for_help(words: list[str]) -> bool:
    return not any(words) or bool({"--help", "-h", "--version"} & {*words})


def _end(sentence: str) -> None:
    """At once: Python is still starting, and would show SystemExit as a failure of its own."""
    os.write(2, f"{sentence}\n".encode())
    os._exit(1)
