"""The containers of docker-compose.yml -> the addresses on this machine that they are published on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flows.doctor.containers import containers, published_ports
from flows.doctor.env_file import variables_of


@dataclass(frozen=True)
class Published:
    """Addresses of the stack's servers, with the users and passwords of `.env`; None where one is not published.

    `key` is the service's, which GET /model asks for.
    """

    service: str | None = None
    mlflow: str | None = field(default=None, repr=False)
    prefect: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    ports: frozenset[int] = frozenset()


def published(project: Path, environment: Mapping[str, str]) -> Published:
    """Of the containers that compose has made from this folder; nothing where there are none."""
    found = containers(project)
    if not found:
        return Published()
    told = {**variables_of(project / ".env"), **environment}
    at = {each.service: each.published[0][1] for each in found if each.published and each.state == "running"}
    return Published(
        _address(at.get("prediction"), ""),
        _address(at.get("mlflow"), _user("serving", told.get("MLFLOW_SERVING_PASSWORD"))),
        _address(at.get("prefect"), _user("asof", told.get("PREFECT_PASSWORD"))),
        told.get("METRICS_KEY") or told.get("API_KEY"),
        published_ports(found),
    )


def _user(name: str, password: str | None) -> str:
    return f"{name}:{password}@" if password else ""


def _address(port: int | None, user: str) -> str | None:
    return f"http://{user}127.0.0.1:{port}" if port else None
