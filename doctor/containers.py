"""`docker inspect` -> the containers that compose has made from a folder, whichever compose it was."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 8


def run(*words: str) -> str:
    """What a command prints, stripped; empty where it fails, is absent or takes too long."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@dataclass(frozen=True)
class Container:
    """One container of the project. `outdated` says that its image's name belongs to a newer image by now.

    `published` are the addresses and ports of this machine that its own are published on.
    """

    service: str
    image: str
    state: str
    health: str = ""
    exit_code: int = 0
    restarts: int = 0
    out_of_memory: bool = False
    outdated: bool = False
    published: tuple[tuple[str, int], ...] = ()


def containers(project: Path) -> list[Container]:
    """The containers that compose has made from this folder, running or not; none without Docker."""
    label = f"label=com.docker.compose.project.working_dir={project}"
    ids = run("docker", "ps", "--all", "--quiet", "--filter", label).split()
    told = run("docker", "inspect", *ids) if ids else ""
    found = json.loads(told or "[]")
    newest = _newest_images({each["Config"]["Image"] for each in found})
    return [_container(each, newest) for each in found]


def published_ports(found: Sequence[Container]) -> frozenset[int]:
    """The ports of this machine that are the stack's."""
    return frozenset(port for each in found for _, port in each.published)


def _newest_images(names: set[str]) -> dict[str, str]:
    """The id that each name belongs to; none for one that is gone."""
    ids = {name: run("docker", "image", "inspect", "--format", "{{.Id}}", name) for name in sorted(names)}
    return {name: found for name, found in ids.items() if found}


def _container(told: Mapping[str, Any], newest: Mapping[str, str]) -> Container:
    state, labels = told["State"], told["Config"]["Labels"]
    ports = (told.get("NetworkSettings") or {}).get("Ports") or {}
    bound = {(each["HostIp"] or "0.0.0.0", int(each["HostPort"])) for port in ports.values() for each in port or []}  # noqa: S104
    return Container(
        labels.get("com.docker.compose.service", told["Name"].strip("/")),
        told["Config"]["Image"],
        state["Status"],
        health=(state.get("Health") or {}).get("Status", ""),
        exit_code=int(state.get("ExitCode", 0)),
        restarts=int(told.get("RestartCount", 0)),
        out_of_memory=bool(state.get("OOMKilled")),
        outdated=newest.get(told["Config"]["Image"], told["Image"]) != told["Image"],
        published=tuple(sorted(bound)),
    )
