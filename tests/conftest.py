"""Real parts for every test: a PostgreSQL server for the session, a database of its own for each module."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as drawn
from pydantic import SecretStr

from asof.settings import PROJECT, Settings
from tests.free_port import apart, free_port

# How long one example takes says more of who else uses the machine than of the code.
drawn.register_profile("asof", deadline=None, suppress_health_check=[HealthCheck.too_slow])
drawn.load_profile("asof")

if "PYTEST_XDIST_WORKER" in os.environ:  # what is started by default must not meet what the other processes start
    for name in ("port", "mlflow_port", "prefect_port"):
        os.environ[f"ASOF_{name.upper()}"] = str(apart(Settings.model_fields[name].default))

STREAMFLOW = PROJECT.parent / "shared" / "data" / "streamflow"


@pytest.fixture(scope="session")
def server() -> Settings:
    """A running PostgreSQL: the one that ASOF_POSTGRES_URL names, or else the embedded one."""
    from local import postgres

    os.environ.pop("ASOF_CLOCK", None)
    return postgres.ensure(Settings())


@pytest.fixture(scope="module")
def settings(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings with a fresh database, a fresh MLflow database and a fresh home; all gone afterwards."""
    name = f"asof_test_{uuid.uuid4().hex[:12]}"
    databases = (name, f"{name}_mlflow")
    with psycopg.connect(server.conninfo("postgres"), autocommit=True) as connection:
        for database in databases:
            connection.execute(f'CREATE DATABASE "{database}"')
        url = server.database(name).render_as_string(hide_password=False)
        yield server.model_copy(
            update={
                "postgres_url": SecretStr(url),
                "mlflow_tracking_uri": server.sqlalchemy_url("psycopg2", f"{name}_mlflow"),
                "home": tmp_path_factory.mktemp("home"),
            }
        )
        for database in databases:
            connection.execute(f'DROP DATABASE "{database}" WITH (FORCE)')


@pytest.fixture(scope="session")
def prefect_api(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Prefect server with a database of its own."""
    from local import background
    from local.services import prefect_service

    folder = tmp_path_factory.mktemp("prefect")
    service = prefect_service(server.model_copy(update={"home": folder}))
    port = free_port(14200, service.title)
    running = background.launch(service, folder, ("127.0.0.1", port))
    background.wait_until_healthy(service, running, folder)
    yield f"{running.address}/api"
    background.end(service.name, folder)


@pytest.fixture(scope="module")
def world(settings: Settings, prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that sees this module's databases, Prefect server and BentoML store."""
    bentoml_home = tmp_path_factory.mktemp("bentoml")
    own = {
        "PREFECT_API_URL": prefect_api,
        "PREFECT_HOME": str(settings.home / "prefect"),
        "BENTOML_HOME": str(bentoml_home),
    }
    return {**os.environ, **settings.environment(), **own}


@pytest.fixture(scope="session")
def streamflow() -> Path:
    """The real extracts, or a skip that says where they were looked for."""
    if not STREAMFLOW.is_dir():
        pytest.skip(f"the real StreamFlow extracts are not at {STREAMFLOW}")
    return STREAMFLOW
