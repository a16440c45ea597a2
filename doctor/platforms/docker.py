"""Docker and compose on this machine -> can an image be built with them, and a stack be brought up."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from doctor.containers import run
from doctor.finding import Finding, note, warning
from doctor.given import Given

OLDEST_ENGINE, OLDEST_COMPOSE = (20, 10), (1, 29)


@dataclass(frozen=True)
class Docker:
    """`engine` is its version, empty where it does not answer; `compose` that of `docker compose` or docker-compose."""

    program: Path
    engine: str = ""
    compose: str = ""
    buildx: bool = False


def look_at_docker(given: Given) -> Iterator[Finding]:
    """Every check on Docker; nothing is said where there is none, for nothing here needs it."""
    if (docker := find_docker()) is not None:
        yield from judged(docker, given.environment)


def find_docker() -> Docker | None:
    """What is installed; None where there is no `docker`."""
    program = shutil.which("docker")
    if program is None:
        return None
    told = run("docker", "version", "--format", "{{json .Server.Version}}")
    return Docker(
        Path(program).resolve() if "/snap/" not in program else Path(program),
        engine=json.loads(told) or "" if told.startswith('"') else "",
        compose=run("docker", "compose", "version", "--short") or run("docker-compose", "version", "--short"),
        buildx=bool(run("docker", "buildx", "version")),
    )


def judged(docker: Docker, environment: Mapping[str, str]) -> Iterator[Finding]:
    """What would go wrong with it."""
    yield from snap(docker.program, environment)
    if not docker.engine:
        yield note("docker-stopped", "Docker is installed, and its engine does not answer.", "systemctl start docker")
    elif _number(docker.engine) < OLDEST_ENGINE:
        yield warning(
            "docker-version", f"Docker is {docker.engine}; images here are built with 20.10 or newer.", "Upgrade it."
        )
    if docker.engine and not docker.compose:
        yield note(
            "compose", "Neither `docker compose` nor docker-compose is installed.", "apt-get install docker-compose"
        )
    elif docker.compose and _number(docker.compose) < OLDEST_COMPOSE:
        found = f"compose is {docker.compose}; docker-compose.yml needs 1.29 or newer (conditions of health)."
        yield warning("compose-version", found, "Install docker-compose 1.29, or the plug-in `docker compose`.")
    if docker.engine and not docker.buildx and environment.get("DOCKER_BUILDKIT") != "0":
        found = "Docker has no buildx, and DOCKER_BUILDKIT is not 0: a build may ask for BuildKit, which is not there."
        yield note("buildkit", found, "export DOCKER_BUILDKIT=0")


def snap(program: Path, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Docker as a snap sees no /tmp of ours, where `bentoml containerize` puts what it builds."""
    home, temporary = environment.get("HOME", ""), environment.get("TMPDIR", "/tmp")  # noqa: S108 - compared, not used
    if "/snap/" in str(program) and not (home and temporary.startswith(home)):
        found = f"Docker is a snap, which cannot see {temporary}: `bentoml containerize` ends in `no such file`."
        yield warning("snap-docker", found, 'mkdir -p "$HOME/tmp" && export TMPDIR="$HOME/tmp"')


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
