"""A container engine that answers: the one that runs, or else the one that the machine's own tool starts."""

import os
import shutil
import subprocess
from pathlib import Path

from asof.settings import PROJECT

TOOL = Path(os.environ.get("LOCAL_ENGINE", PROJECT.parent / "shared" / "tools" / "local-engine"))
BASES = ("python:3.11-slim", "postgres:15")


def engine() -> str:
    """What `docker version` says of it. Raises RuntimeError where there is none, and none can be started."""
    if not (_answers() and all(map(_has, BASES))) and TOOL.is_file():
        subprocess.run([str(TOOL), "postgres"], check=True, stdout=subprocess.DEVNULL)
    if not _answers():
        raise RuntimeError(
            f"No container engine answers and {TOOL} is not there: start Docker (`docker info` tells), then again."
        )
    if shutil.which("docker-compose") is None:
        raise RuntimeError("docker-compose is not installed: these tests call it by that name (1.29, or v2's).")
    return _said("docker", "version", "--format", "{{.Server.Version}}")


def _answers() -> bool:
    return shutil.which("docker") is not None and _succeeds("docker", "info")


def _has(image: str) -> bool:
    return _succeeds("docker", "image", "inspect", image)


def _succeeds(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
