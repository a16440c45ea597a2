"""Sets the environment of the stack for `bentoml`, `feast`, `mlflow` and `prefect` commands without `make env`.

`make setup` links this file into .venv, where each start of Python calls `prepare`. Variables that are set already
are kept. Nothing of the project is imported: `bentoml serve` may run a Bento with modules of the same names. As every
Python of .venv reads this file, it imports as little as it can.
"""

import os
import sys

COMMANDS = ("bentoml", "feast", "mlflow", "prefect")
EVALUATED = {"ASOF_FEAST_HOST", "BENTOML_HOME", "MLFLOW_REGISTRY_URI"}
"""Variables that are all set once `make env` was evaluated."""
REQUIRED = {"feast": "ASOF_FEAST_HOST", "mlflow": "MLFLOW_TRACKING_URI"}
"""The variable that a command cannot do without."""


def prepare() -> None:
    """Completes the environment of a command; exits with a message if the command needs a stack that is not running."""
    _, program, *words = *sys.orig_argv, ""
    command = program.rpartition(os.sep)[2]
    if command not in COMMANDS or not _is_ours(program):
        return
    if not os.environ.keys() >= EVALUATED:
        os.environ.update({**_platform_environment(command), **os.environ})
    if REQUIRED.get(command, "PATH") not in os.environ and not _asks_for_help(words):
        _fail(f"{command}: the project's PostgreSQL is not running. Start it with `make up`.")
    if command == "bentoml" and "containerize" in words:
        # BentoML reads a template only from below the working folder (BentoML#5566), and copies the Bento to this one.
        import tempfile

        os.chdir(tempfile.gettempdir())


def _is_ours(program: str) -> bool:
    """Whether it stands beside the Python that runs it."""
    from pathlib import Path

    return Path(program).parent.resolve() == Path(sys.executable).parent.resolve()


def _platform_environment(command: str) -> dict[str, str]:
    import json
    import subprocess
    from pathlib import Path

    words = [sys.executable, "-m", "local", "env", "--running"]
    project = Path(__file__).resolve().parents[1]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        _fail(f"{command}: the project's settings are invalid. See `make doctor`.")
    environment: dict[str, str] = json.loads(done.stdout)
    return environment


def _asks_for_help(words: list[str]) -> bool:
    return not any(words) or bool({"--help", "-h", "--version"} & {*words})


def _fail(message: str) -> None:
    """Exits at once: Python is still starting, and would print a traceback for SystemExit."""
    os.write(2, f"{message}\n".encode())
    os._exit(1)
