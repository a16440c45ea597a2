"""The tools of `make sbom` and `make audit`, in an environment of their own: no image and no test needs them."""

import subprocess
from pathlib import Path

from asof.errors import ConfigurationError
from asof.settings import PROJECT

TOOLS = PROJECT / ".venv-audit" / "bin"
LOCK = PROJECT / "requirements" / "serve.txt"


def run_tool(name: str, *words: str | Path, folder: Path = TOOLS) -> "subprocess.CompletedProcess[str]":
    """Runs a tool to its end and returns what it said, whatever its exit code.

    Raises ConfigurationError where it is not installed.
    """
    if not (folder / name).is_file():
        raise ConfigurationError(f"{name} is not installed in {folder.parent.name}: run `make sbom` or `make audit`.")
    return subprocess.run(  # noqa: S603 - a list of words of our own, no shell
        [folder / name, *words], capture_output=True, text=True, check=False
    )
