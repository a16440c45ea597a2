"""PostgreSQL, the MLflow UI, the Prefect server and the prediction service, kept running in the background.

In come Settings, out come States: what runs, where, under which process number. `up` twice starts nothing twice; `down`
ends only what `up` started. Records and logs lie in `home/run`, the models that the service has fetched in
`home/following`.
"""

import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from asof import files
from asof.home import private_file, private_folder
from asof.settings import Settings, export
from local.embedded_postgres import postgres
from local.ports import free_ports
from local.stack import background
from local.stack.background import Running, Service
from local.stack.services import NAMES, PREDICTION, mlflow_service, prediction_service, prefect_service

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """One part of the stack; `note` says why it does not run, or runs and does not answer."""

    name: str
    running: bool
    address: str = ""
    pid: int | None = None
    note: str = ""


def up(settings: Settings, bento: str) -> tuple[State, ...]:
    """Starts what does not run yet, and waits until all of it answers.

    The prediction service follows the registry: MLflow's server of ours, or the one that MLFLOW_TRACKING_URI names. It
    starts again where the Bento or a setting changed. Where the registry has no model for it, it runs, and its note
    says why. Raises ConfigurationError with the end of the log of the server that does not come up; that one is ended,
    the others go on.
    """
    settings = postgres.ensure(settings)
    export(settings)
    with locked(settings) as folder:
        servers = [each for each in (mlflow_service(settings), prefect_service(settings)) if each is not None]
        for each in [_start(server, folder, settings.host) for server in servers]:
            _wait(each, folder)  # before the prediction service starts, which asks one of them
        prediction = _apart(prediction_service(_following(settings), bento), folder, settings.bentoml_home)
        _wait(_start(prediction, folder, settings.host), folder)
    return states(settings)


def down(settings: Settings) -> tuple[str, ...]:
    """Ends what `up` started, and the embedded PostgreSQL last; returns the names of what was ended."""
    with locked(settings) as folder:
        ended = [name for name in reversed(NAMES) if background.end(name, folder)]
    if postgres.status(settings).running:
        postgres.stop(settings)
        ended.append("postgres")
    return tuple(ended)


def wipe(settings: Settings) -> None:
    """Ends everything and deletes what the stack keeps in `home`; what others put there stays, and so does `home`."""
    down(settings)
    postgres.remove(settings)
    for name in ("artifacts", "bentoml", "following", "prefect", "run"):
        shutil.rmtree(settings.home.resolve() / name, ignore_errors=True)


def states(settings: Settings) -> tuple[State, ...]:
    """What runs at this moment."""
    return (_database(settings), *(_state(name, settings) for name in NAMES))


def surroundings(settings: Settings) -> dict[str, str]:
    """The environment of a command that is to see the stack as it runs now; starts nothing.

    Without PostgreSQL it names the places alone.
    """
    if postgres.is_embedded(settings):
        settings = postgres.attach(settings)
    known = settings.environment() if settings.postgres_url else settings.platform_folders()
    return known | prefect_address(settings) | _registry_address(settings)


def prefect_address(settings: Settings) -> dict[str, str]:
    """PREFECT_API_URL of our Prefect server while it runs; without it, flows start a temporary one."""
    running = background.find("prefect", run_folder(settings))
    return {"PREFECT_API_URL": f"{running.address}/api"} if running else {}


def _registry_address(settings: Settings) -> dict[str, str]:
    """ASOF_REGISTRY_URL of our MLflow server while it runs: a service asks it, and MLflow itself the database."""
    running = _own_mlflow(settings)
    return {"ASOF_REGISTRY_URL": running.address} if running else {}


def _own_mlflow(settings: Settings) -> Running | None:
    """None, too, where one of ours still runs and MLFLOW_TRACKING_URI names another server by now."""
    if (settings.mlflow_tracking_uri or "").startswith("http"):
        return None
    return background.find("mlflow", run_folder(settings))


@dataclass(frozen=True)
class _Started:
    """A service with its process, and whether that was started just now."""

    service: Service
    running: Running
    new: bool = True


def _start(service: Service, folder: Path, host: str) -> _Started:
    """The service as it runs already, or started now; called with the lock held."""
    running = background.find(service.name, folder)
    if running and running.purpose == service.purpose:
        return _Started(service, running, new=False)
    if running:
        logger.warning("Code or settings of %s changed: it starts again.", service.title)
    background.end(service.name, folder)
    claimed = {other.port for name in NAMES if (other := background.find(name, folder))}
    port = next(port for port in free_ports(host, service.port, service.title) if port not in claimed)
    return _Started(service, background.launch(service, folder, (host, port)))


def _wait(started: _Started, folder: Path) -> None:
    """Until it answers, or says that waiting is of no use; a new one that does neither is ended."""
    try:
        background.wait_until_healthy(started.service, started.running, folder)
    except BaseException:
        if started.new:
            background.end(started.service.name, folder)
        raise


def _following(settings: Settings) -> Settings:
    """As the prediction service of the stack is set: what it has fetched is there for its next start."""
    ours = _own_mlflow(settings)
    update = {"follow": "production", "follow_folder": settings.follow_folder or settings.home.resolve() / "following"}
    return settings.model_copy(update=update | ({"registry_url": SecretStr(ours.address)} if ours else {}))


def _apart(service: Service, folder: Path, stores: Path) -> Service:
    """The service with a BENTOML_HOME of its own, whose stores are the common ones.

    A starting BentoML service empties HOME/prometheus_multiproc_dir, where one that runs keeps its metrics.
    """
    home = folder / "bentoml"
    home.mkdir(exist_ok=True)
    for store in ("bentos", "models"):
        (home / store).unlink(missing_ok=True)
        (home / store).symlink_to(stores.resolve() / store)
    return replace(service, environment={**service.environment, "BENTOML_HOME": str(home)})


def _state(name: str, settings: Settings) -> State:
    running = background.find(name, run_folder(settings))
    if running:
        return State(name, True, running.address, running.pid, _unready(running) if name == PREDICTION else "")
    if name == "mlflow" and (address := settings.mlflow_tracking_uri or "").startswith("http"):
        shown = re.sub("//.*@", "//", address)  # without a name and a password
        return State(name, False, shown, note="not ours: MLFLOW_TRACKING_URI")
    return State(name, False)


def _unready(running: Running) -> str:
    """Why the prediction service does not answer; empty where it does."""
    return background.asked(running.host, running.port, "/readyz").why


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
    with files.locked(private_file(folder / "stack.lock")):
        yield folder
