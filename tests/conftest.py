"""Real parts for every test: a PostgreSQL server for the session, a database of its own for each module."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as drawn

from asof.settings import PROJECT, Settings
from tests.kits.machine.databases import fresh, mlflow_template
from tests.kits.machine.free_port import apart
from tests.kits.machine.prefect_database import migrated_database, prefect_server

# How long one example takes says more of who else uses the machine than of the code.
drawn.register_profile("asof", deadline=None, suppress_health_check=[HealthCheck.too_slow])
drawn.load_profile("asof")

if "PYTEST_XDIST_WORKER" in os.environ:  # what is started by default must not meet what the other processes start
    for name in ("port", "mlflow_port", "prefect_port", "console_port"):
        os.environ[f"ASOF_{name.upper()}"] = str(apart(Settings.model_fields[name].default))

# The processes of `make test` share the cores; BLAS and OpenMP read this when they are loaded, which is later.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts what is to run in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.kits.data.history",
    "tests.kits.data.sources",
    "tests.kits.ledger.answers",
    "tests.kits.machine.replica",
    "tests.kits.monitoring.audited",
    "tests.kits.service.small_model",
    "tests.kits.service.churn_service",
]

STREAMFLOW = PROJECT.parent / "shared" / "data" / "streamflow"


gc.disable()  # while modules are imported, which leaves nothing to collect


def pytest_collection_finish() -> None:
    """What was imported is left out of every garbage collection."""
    gc.freeze()
    gc.enable()


SLOW = ("journeys", "service", "training", "local", "online_store")
"""Folders whose files come first, so that the processes of `make test` end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folders = [PROJECT / "tests" / name for name in SLOW]
    items.sort(key=lambda item: [not item.path.is_relative_to(folder) for folder in folders])


@pytest.fixture(scope="session")
def server() -> Settings:
    """A running PostgreSQL: the one that ASOF_POSTGRES_URL names, or else the embedded one."""
    from local.embedded_postgres import postgres

    os.environ.pop("ASOF_CLOCK", None)
    return postgres.ensure(Settings())


@pytest.fixture(scope="module", autouse=True)
def _own_environment() -> Iterator[None]:
    """What a module exports for the platforms is gone afterwards; BentoML looks at its own only once."""
    before = dict(os.environ)
    yield
    bentoml = {name: value for name, value in os.environ.items() if name.startswith("BENTOML_")}
    os.environ.clear()
    os.environ.update(before | bentoml)


@pytest.fixture(scope="session")
def mlflow_tables(server: Settings) -> Iterator[str]:
    """The database with MLflow's tables that every module's own is copied from."""
    with mlflow_template(server) as name:
        yield name


@pytest.fixture(scope="module")
def settings(server: Settings, mlflow_tables: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings with a fresh database, a fresh MLflow database and a fresh home; all gone afterwards."""
    with fresh(server, tmp_path_factory.mktemp("home"), mlflow_tables) as settings:
        yield settings


@pytest.fixture(scope="session")
def prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prefect's database with its tables and no rows, to be copied."""
    base = tmp_path_factory.getbasetemp()
    return migrated_database((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "prefect-database")


@pytest.fixture(scope="session")
def prefect_api(server: Settings, prefect_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Prefect server with a database of its own."""
    # Without the scheduler and others, which are never idle.
    with prefect_server(server, prefect_database, tmp_path_factory.mktemp("prefect"), "--no-services") as address:
        yield address


@pytest.fixture(scope="module")
def world(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that sees this module's databases and BentoML store; it runs without Prefect."""
    bentoml_home = tmp_path_factory.mktemp("bentoml")
    own = {"PREFECT_HOME": str(settings.home / "prefect"), "BENTOML_HOME": str(bentoml_home)}
    return {**os.environ, **settings.environment(), **own}


@pytest.fixture(scope="module")
def prefect_world(world: dict[str, str], prefect_api: str) -> dict[str, str]:
    """The same, with flow runs on a Prefect server."""
    return {**world, "PREFECT_API_URL": prefect_api}


@pytest.fixture(scope="session")
def streamflow() -> Path:
    """The real extracts, or a skip that says where they were looked for."""
    if not STREAMFLOW.is_dir():
        pytest.skip(f"the real StreamFlow extracts are not at {STREAMFLOW}")
    return STREAMFLOW
