"""PostgreSQL, the MLflow UI, the Prefect server and the prediction service, kept running in the background.

In come Settings, out come States: what runs, where, under which process number. `up` twice starts nothing twice; `down`
ends only what `up` started. Records and logs lie in `home/run`.
"""

import fcntl
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from asof.home import private_file, private_folder
from asof.settings import Settings, export
from local import background, postgres, swap
from local.background import Running, Service
from local.ports import free_ports
from local.services import NAMES, front_service, mlflow_service, prediction_service, prefect_service
from local.traffic import FRONT, SLOTS, read_traffic

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """One part of the stack; `note` says what answers in it, or why a part that could run does not."""

    name: str
    running: bool
    address: str = ""
    pid: int | None = None
    note: str = ""


def up(settings: Settings, bento: str) -> tuple[State, ...]:
    """Starts what does not run yet, and waits until all of it answers.

    The prediction service stands behind a front door: another Bento or other settings take the traffic over without a
    failed request. Raises ConfigurationError with the end of the log of the server that does not come up; the others
    go on.
    """
    settings = postgres.ensure(settings)
    export(settings)
    with locked(settings) as folder:
        servers = [each for each in (mlflow_service(settings), prefect_service(settings)) if each is not None]
        running = [(service, started(service, folder, settings.host)) for service in servers]
        # Now: it may have to be told where the MLflow UI is.
        prediction = prediction_service(with_registry(settings, folder), bento)
        candidate = None
        if prediction:
            front = front_service(settings)
            running.append((front, started(front, folder, settings.host)))
            candidate = swap.begin(prediction, folder)
            swap.give_traffic(candidate, folder)
        for service, process in running:
            background.wait_until_healthy(service, process, folder)
        if candidate:
            swap.end_old(candidate, folder)
    return states(settings)


def down(settings: Settings) -> tuple[str, ...]:
    """Ends what `up` started, and the embedded PostgreSQL last; returns the names of what was ended."""
    with locked(settings) as folder:
        ended = [name for name in reversed(NAMES) if background.end(name, folder)]
        backends = [background.end(slot, folder) for slot in SLOTS]
        if any(backends) and FRONT not in ended:
            ended.insert(0, FRONT)
    if postgres.status(settings).running:
        postgres.stop(settings)
        ended.append("postgres")
    return tuple(ended)


def wipe(settings: Settings) -> None:
    """Ends everything and deletes what the stack keeps in `home`; what others put there stays, and so does `home`."""
    down(settings)
    postgres.remove(settings)
    for name in ("artifacts", "prefect", "run"):
        shutil.rmtree(settings.home.resolve() / name, ignore_errors=True)


def states(settings: Settings) -> tuple[State, ...]:
    """What runs at this moment."""
    return (_database(settings), *(_state(name, settings) for name in NAMES))


def prefect_address(settings: Settings) -> dict[str, str]:
    """PREFECT_API_URL of our Prefect server while it runs; without it, flows start a temporary one."""
    running = background.find("prefect", run_folder(settings))
    return {"PREFECT_API_URL": f"{running.address}/api"} if running else {}


def started(service: Service, folder: Path, host: str) -> Running:
    """The service as it runs already, or started now; whoever calls holds the lock."""
    running = background.find(service.name, folder)
    if running and running.purpose == service.purpose:
        return running
    if running:
        logger.warning("Settings or Bento of %s changed: it starts again.", service.title)
    background.end(service.name, folder)
    claimed = {other.port for name in NAMES if (other := background.find(name, folder))}
    port = next(port for port in free_ports(host, service.port, service.title) if port not in claimed)
    return background.launch(service, folder, (host, port))


def with_registry(settings: Settings, folder: Path) -> Settings:
    """A service that follows the registry asks the MLflow UI of ours, unless it is told of another server."""
    ours = background.find("mlflow", folder)
    if not (settings.follow and ours) or settings.registry_url:
        return settings
    return settings.model_copy(update={"registry_url": SecretStr(ours.address)})


def _state(name: str, settings: Settings) -> State:
    running = background.find(name, run_folder(settings))
    if running:
        return State(name, True, running.address, running.pid, _behind(settings) if name == FRONT else "")
    if name == "mlflow" and (address := settings.mlflow_tracking_uri or "").startswith("http"):
        shown = re.sub("//.*@", "//", address)  # without a name and a password
        return State(name, False, shown, note="not ours: MLFLOW_TRACKING_URI")
    return State(name, False)


def _behind(settings: Settings) -> str:
    """The Bento behind the front door."""
    folder = run_folder(settings)
    traffic = read_traffic(folder)
    return traffic.bento if traffic and background.find(traffic.slot, folder) else "no Bento answers"


def _database(settings: Settings) -> State:
    if not postgres.is_embedded(settings):
        url = settings.database()
        return State("postgres", False, f"{url.host}:{url.port or 5432}", note="not ours: ASOF_POSTGRES_URL")
    server = postgres.status(settings)
    address = f"127.0.0.1:{server.port}" if server.running else ""
    return State("postgres", server.running, address, server.pid)


def run_folder(settings: Settings) -> Path:
    """Where records and logs lie."""
    return settings.home.resolve() / "run"


@contextmanager
def locked(settings: Settings) -> Iterator[Path]:
    """The folder of records, while nobody else starts or ends anything in it."""
    folder = run_folder(settings)
    private_folder(folder)
    with private_file(folder / "stack.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
