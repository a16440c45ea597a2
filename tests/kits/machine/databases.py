"""Databases of a test's own: what a checkout of its own has."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from pydantic import SecretStr

from asof.settings import Settings


@contextmanager
def fresh(server: Settings, home: Path) -> Iterator[Settings]:
    """Settings with a fresh database, a fresh MLflow database and this home; the databases are gone afterwards."""
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
                "home": home,
            }
        )
        for database in databases:
            connection.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
