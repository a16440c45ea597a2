"""Checks of Docker and compose: versions and setups that cannot build our images."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from doctor.context import Context
from doctor.finding import Finding, note, warning

OLDEST_ENGINE, OLDEST_COMPOSE = (20, 10), (1, 29)
COMMAND_TIMEOUT = 8
"""Seconds."""


@dataclass(frozen=True)
class Docker:
    """`engine` and `compose` are versions, empty if not installed or not answering."""

    program: Path
    engine: str = ""
    compose: str = ""
    buildx: bool = False


def check_docker(context: Context) -> Iterator[Finding]:
    """No findings if Docker is not installed, as only images need it, and none on its tools if no engine answers."""
    if program := shutil.which("docker"):
        engine = run("docker", "version", "--format", "{{.Server.Version}}")
        docker = Docker(
            Path(program) if "/snap/" in program else Path(program).resolve(),
            engine,
            compose=_compose_version() if engine else "",
            buildx=bool(engine and run("docker", "buildx", "version")),
        )
        yield from check_versions(docker, context.environment)


def _compose_version() -> str:
    """That of the plug-in, or else of docker-compose, a Python program that starts slowly."""
    return run("docker", "compose", "version", "--short") or run("docker-compose", "version", "--short")


def check_versions(docker: Docker, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Findings on versions and setup."""
    home, temporary = environment.get("HOME", ""), environment.get("TMPDIR", "/tmp")  # noqa: S108 - compared, not used
    if "/snap/" in str(docker.program) and not (home and temporary.startswith(home)):
        found = f"Docker is a snap and cannot read {temporary}: `bentoml containerize` fails with `no such file`."
        yield warning("snap-docker", found, 'mkdir -p "$HOME/tmp" && export TMPDIR="$HOME/tmp"')
    if docker.engine and _number(docker.engine) < OLDEST_ENGINE:
        yield warning("docker-version", f"Docker is {docker.engine}; our images need 20.10 or newer.", "Upgrade it.")
    if docker.compose and _number(docker.compose) < OLDEST_COMPOSE:
        found = f"compose is {docker.compose}; docker-compose.yml needs 1.29 or newer."
        yield warning("compose-version", found, "Install docker-compose 1.29, or the plug-in `docker compose`.")
    if docker.engine and not docker.buildx and environment.get("DOCKER_BUILDKIT") != "0":
        found = "Docker has no buildx, and DOCKER_BUILDKIT is not 0: a build that asks for BuildKit fails."
        yield note("buildkit", found, "export DOCKER_BUILDKIT=0")


def run(*command: str) -> str:
    """The stripped output of a command; empty if it fails, is missing or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
