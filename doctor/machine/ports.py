"""The ports of our settings -> those that somebody else listens on, and two of ours that are the same."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import psutil

from doctor.finding import Finding, error, note, warning
from doctor.given import Given
from local.embedded_postgres import postgres
from local.ports import is_free
from local.stack import background, stack


@dataclass(frozen=True)
class Port:
    """A port of ours: `at` is where the server runs, if it does; `taken_by` who else listens on `wanted`, if so."""

    what: str
    variable: str
    wanted: int
    at: int | None = None
    taken_by: str = ""


def look_at_ports(given: Given) -> Iterator[Finding]:
    """Every check on ports."""
    wanted = list(_wanted(given))
    yield from same_twice(wanted)
    yield from taken(wanted)


def taken(ports: Iterable[Port]) -> Iterator[Finding]:
    """A port that is somebody else's; the background servers take the next free one then, and clients do not know."""
    for port in ports:
        if port.at not in (None, port.wanted):
            yield note(f"port:{port.variable}", f"{port.what} listens on {port.at}: {port.wanted} was taken.")
        elif port.at is None and port.taken_by:
            found = f"Port {port.wanted} of {port.what} is taken by {port.taken_by}: ours would get the next free one."
            yield warning(f"port:{port.variable}", found, f"End it, or set {port.variable} to a free port.")


def same_twice(ports: Iterable[Port]) -> Iterator[Finding]:
    """Two servers that are to have one port."""
    seen: dict[int, Port] = {}
    for port in ports:
        other = seen.setdefault(port.wanted, port)
        if other is not port:
            found = f"{other.variable} and {port.variable} are both {port.wanted}."
            yield error(f"same-port:{port.variable}", found, f"Set {port.variable} to another port.")


def _wanted(given: Given) -> Iterator[Port]:
    settings = given.settings
    if given.embedded:
        at = postgres.status(settings).port
        yield _port("the embedded PostgreSQL", "ASOF_POSTGRES_PORT", (settings.postgres_port, at), given)
    servers = {"prediction": ("the prediction service", settings.port), "prefect": ("Prefect", settings.prefect_port)}
    if not (settings.mlflow_tracking_uri or "").startswith("http"):
        servers["mlflow"] = ("the MLflow UI", settings.mlflow_port)
    variables = {"prediction": "ASOF_PORT", "prefect": "ASOF_PREFECT_PORT", "mlflow": "ASOF_MLFLOW_PORT"}
    for name, (what, wanted) in servers.items():
        running = background.find(name, stack.run_folder(settings))
        yield _port(what, variables[name], (wanted, running.port if running else None), given)


def _port(what: str, variable: str, places: tuple[int, int | None], given: Given) -> Port:
    wanted, at = places
    ours = at == wanted or wanted in given.published
    free = ours or is_free(given.settings.host, wanted)
    return Port(what, variable, wanted, at, "" if free else _listener(wanted))


def _listener(port: int) -> str:
    """The program that listens, as far as we may see it."""
    with suppress(psutil.Error):
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid:
                return f"{psutil.Process(each.pid).name()} (process {each.pid})"
    return "another program"
