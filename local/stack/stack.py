"""PostgreSQL, the MLflow UI, the Prefect server, the console and the prediction services in the background.

`up` starts only what is not running, `down` ends only what `up` started. Records and logs are in `home/run`, the models
that the services have fetched in `home/following`. A record stays after its process, and keeps its port.
"""

import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from asof import files
from asof.errors import AsOfError, ConfigurationError
from asof.home import private_file, private_folder
from asof.ledger.spool.shipper import LOCK
from asof.settings import Settings, export
from local.embedded_postgres import postgres
from local.ports import free_ports
from local.stack import background
from local.stack.background import Running, Service
from local.stack.predictions import forget_others, prediction_names, with_own_home, with_own_port
from local.stack.prefect_database import provide_database
from local.stack.services import (
    PREDICTION,
    SERVERS,
    console_service,
    mlflow_service,
    prediction_name,
    prediction_service,
    prefect_service,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """State of a server; `note` says why it is not running or not ready."""

    name: str
    running: bool
    address: str = ""
    pid: int | None = None
    note: str = ""


def up(settings: Settings, builds: Mapping[str, Callable[[], str]], *, whole: bool = False) -> tuple[State, ...]:
    """Starts the servers that are not running and waits until all answer.

    All start at once. `builds` has for each use case to be served a function that returns its Bento `name:version`; it
    is called while the others start. A prediction service follows the registry of our MLflow server, or of
    MLFLOW_TRACKING_URI, and is restarted if the Bento or a setting changed. Without a model in the registry it runs,
    and its note says why it is not ready. Services of use cases that are not in `builds` go on; if these are the
    `whole`, those that do not run are forgotten, with their ports.

    Raises ConfigurationError with the end of the log if a server does not come up; that one is ended, others go on.
    """
    settings = postgres.ensure(settings)
    export(settings)
    with locked(settings) as folder:
        provide_database(settings)
        own = (mlflow_service(settings), prefect_service(settings), console_service(settings))
        servers = [each for each in own if each is not None]
        started = [_start(server, folder, settings.host) for server in servers]
        background.end(PREDICTION, folder)  # of a version that had one service for all
        background.record_file(PREDICTION, folder).unlink(missing_ok=True)
        if whole:
            forget_others(folder, map(prediction_name, builds))
        errors: list[AsOfError] = []
        for use_case, build in builds.items():
            with _collected(errors):
                service = with_own_port(prediction_service(_follow_settings(settings), build(), use_case), folder)
                service = with_own_home(service, folder, settings.bentoml_home)
                started.append(_start(service, folder, settings.host))
        for each in started:
            with _collected(errors):
                _wait(each, folder)
        if mlflow := _local_mlflow(settings):
            for each in started[len(servers) :]:
                background.wait_while_reason_names(mlflow.address, each.running, each.service.health)
    if errors:
        raise errors[0] if len(errors) == 1 else ConfigurationError("\n".join(map(str, errors)))
    return states(settings)


@contextmanager
def _collected(errors: list[AsOfError]) -> Iterator[None]:
    """Appends an error of the block, so that the other servers come up."""
    try:
        yield
    except AsOfError as error:
        errors.append(error)


def down(settings: Settings) -> tuple[str, ...]:
    """Ends what `up` started, the embedded PostgreSQL last; returns the names of the ended servers."""
    with locked(settings) as folder:
        ended = [name for name in reversed(_names(folder)) if background.end(name, folder)]
    _wait_for_shipper(settings)
    if postgres.status(settings).running:
        postgres.stop(settings)
        ended.append("postgres")
    return tuple(ended)


def _wait_for_shipper(settings: Settings) -> None:
    """Waits until the ledger's shipper has shipped the rest and ended, as it does without services."""
    lock, deadline = settings.ledger_folder / LOCK, time.monotonic() + background.STOP_SECONDS
    while settings.ledger_ship and lock.exists() and time.monotonic() < deadline:
        if file := files.try_lock(lock):
            file.close()
            return
        time.sleep(0.1)


def wipe(settings: Settings) -> None:
    """Ends everything and deletes the data of the stack in `home`; other files and `home` itself stay."""
    down(settings)
    postgres.remove(settings)
    for name in ("artifacts", "bentoml", "following", "ledger", "prefect", "run"):
        shutil.rmtree(settings.home.resolve() / name, ignore_errors=True)


def states(settings: Settings) -> tuple[State, ...]:
    """The current state of every server."""
    return (_database(settings), *(_state(name, settings) for name in _names(run_folder(settings))))


def platform_environment(settings: Settings) -> dict[str, str]:
    """Variables with which a platform's command uses the running stack; starts nothing.

    Without a running PostgreSQL they name only the platforms' folders.
    """
    if postgres.is_embedded(settings):
        settings = postgres.attach(settings)
    known = settings.environment() if settings.postgres_url else settings.platform_folders()
    return known | prefect_address(settings) | _registry_address(settings)


def prefect_address(settings: Settings) -> dict[str, str]:
    """PREFECT_API_URL of our Prefect server if it is running, otherwise empty."""
    running = background.find("prefect", run_folder(settings))
    return {"PREFECT_API_URL": f"{running.address}/api"} if running else {}


def _registry_address(settings: Settings) -> dict[str, str]:
    """ASOF_REGISTRY_URL of our MLflow server if it is running."""
    running = _local_mlflow(settings)
    return {"ASOF_REGISTRY_URL": running.address} if running else {}


def _local_mlflow(settings: Settings) -> Running | None:
    """Our MLflow server; None if it is not running or MLFLOW_TRACKING_URI names another server."""
    if (settings.mlflow_tracking_uri or "").startswith("http"):
        return None
    return background.find("mlflow", run_folder(settings))


@dataclass(frozen=True)
class _Started:
    """A service, its process, and whether that was started by this call."""

    service: Service
    running: Running
    new: bool = True


def _start(service: Service, folder: Path, host: str) -> _Started:
    """Returns the running service, or starts it. The caller holds the lock."""
    running = background.find(service.name, folder)
    if running and running.purpose == service.purpose:
        return _Started(service, running, new=False)
    if running:
        logger.warning("Code or settings of %s changed: restarting it.", service.title)
    background.end(service.name, folder)
    claimed = {other.port for name in _names(folder) if (other := background.find(name, folder))}
    port = next(port for port in free_ports(host, service.port, service.title) if port not in claimed)
    return _Started(service, background.launch(service, folder, (host, port)))


def _wait(started: _Started, folder: Path) -> None:
    """Waits until the service is healthy; ends a new one that does not become so."""
    try:
        background.wait_until_healthy(started.service, started.running, folder)
    except BaseException:
        if started.new:
            background.end(started.service.name, folder)
        raise


def _names(folder: Path) -> list[str]:
    """The servers and the prediction services; one without a use case if none was ever started."""
    return [*SERVERS, *(prediction_names(folder) or [PREDICTION])]


def _follow_settings(settings: Settings) -> Settings:
    """Settings of the stack's prediction services, which keep fetched models for their next start."""
    mlflow = _local_mlflow(settings)
    update = {"follow": "production", "follow_folder": settings.follow_folder or settings.home.resolve() / "following"}
    return settings.model_copy(update=update | ({"registry_url": SecretStr(mlflow.address)} if mlflow else {}))


def _state(name: str, settings: Settings) -> State:
    running = background.find(name, run_folder(settings))
    if running:
        note = _not_ready_reason(running) if name.startswith(PREDICTION) else ""
        return State(name, True, running.address, running.pid, note)
    if name == "mlflow" and (address := settings.mlflow_tracking_uri or "").startswith("http"):
        shown = re.sub("//.*@", "//", address)  # without credentials
        return State(name, False, shown, note="not ours: MLFLOW_TRACKING_URI")
    return State(name, False)


def _not_ready_reason(running: Running) -> str:
    """Why the prediction service is not ready; empty if it is."""
    return background.get_health(running.host, running.port, "/readyz").reason


def _database(settings: Settings) -> State:
    if not postgres.is_embedded(settings):
        url = settings.database()
        return State("postgres", False, f"{url.host}:{url.port or 5432}", note="not ours: ASOF_POSTGRES_URL")
    server = postgres.status(settings)
    address = f"127.0.0.1:{server.port}" if server.running else ""
    return State("postgres", server.running, address, server.pid)


def run_folder(settings: Settings) -> Path:
    """The folder of records and logs."""
    return settings.home.resolve() / "run"


@contextmanager
def locked(settings: Settings) -> Iterator[Path]:
    """The run folder, locked against other processes that start or end servers."""
    folder = run_folder(settings)
    private_folder(folder)
    with files.locked(private_file(folder / "stack.lock")):
        yield folder
