"""The containers of docker-compose.yml -> the addresses on this machine that they are published on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from doctor.containers import containers, published_ports
from doctor.finding import Finding, error, warning


def variables_of(path: Path) -> dict[str, str]:
    """What it sets; nothing where it is absent or no text."""
    try:
        return {name: value or "" for name, value in dotenv_values(path).items()} if path.is_file() else {}
    except UnicodeDecodeError:
        return {}


def readable(path: Path) -> Iterator[Finding]:
    """Whether all of it counts."""
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    except UnicodeDecodeError:
        found = f"{path} is no text in UTF-8: every command ends with that. What follows was looked at without it."
        yield error("env-file", found, "Write it anew as UTF-8 (iconv -f latin1 -t utf-8).")
        return
    if lines := [str(each.original.line) for each in parse_stream(StringIO(text)) if each.error]:
        found = f"{path} cannot be read in line {', '.join(lines)}: what is set there does not count."
        yield warning("env-file", found, "Write NAME=value, with both quotes or none.")


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
