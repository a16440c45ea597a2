"""Databases of a test's own: empty ones, as a checkout of its own has, or copies of what was made once a session."""

import logging
import shutil
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from asof.settings import Settings


@contextmanager
def mlflow_template(server: Settings) -> Iterator[str]:
    """The name of a database that has MLflow's tables and no rows, to be copied: its migrations take seconds."""
    with database(server, f"asof_test_{uuid.uuid4().hex[:12]}_template") as name:
        _migrate(server.sqlalchemy_url("psycopg2", name))
        yield name


@contextmanager
def fresh(server: Settings, home: Path, mlflow_template: str = "template1") -> Iterator[Settings]:
    """Settings with a fresh database, a fresh MLflow database and this home; the databases are gone afterwards."""
    name = f"asof_test_{uuid.uuid4().hex[:12]}"
    tracking = f"{name}_mlflow"
    with database(server, name), database(server, tracking, template=mlflow_template):
        url = server.database(name).render_as_string(hide_password=False)
        yield server.model_copy(
            update={
                "postgres_url": SecretStr(url),
                "mlflow_tracking_uri": server.sqlalchemy_url("psycopg2", tracking),
                "home": home,
            }
        )


def copy_features(source: Settings, target: Settings) -> None:
    """Replaces the target's database, which must be `fresh`, by a copy: snapshots, registry and online store."""
    _copy(target, source.database().database, target.database().database)


def copy_models(source: Settings, target: Settings) -> None:
    """Replaces the target's MLflow database by a copy, and puts a copy of the artefacts and keys into its home."""
    _copy(target, make_url(source.tracking_uri).database, make_url(target.tracking_uri).database)
    shutil.copytree(source.home, target.home, dirs_exist_ok=True)
    columns = {
        "experiments": "artifact_location",
        "runs": "artifact_uri",
        "logged_models": "artifact_location",
        "model_versions": "storage_location",
    }
    with psycopg.connect(target.conninfo(make_url(target.tracking_uri).database)) as connection:
        for table, column in columns.items():
            moved = f"UPDATE {table} SET {column} = replace({column}, %s, %s)"
            connection.execute(moved, (str(source.home), str(target.home)))


def _copy(server: Settings, source: str | None, target: str | None) -> None:
    """The source must be at rest: connections that pools still hold to it are ended."""
    with psycopg.connect(server.conninfo("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (source,))
        connection.execute(f'DROP DATABASE "{target}" WITH (FORCE)')
        _create(connection, target, source)


@contextmanager
def database(server: Settings, name: str, template: str | None = "template1") -> Iterator[str]:
    """A database that is a copy of the template, for the time of a block."""
    with psycopg.connect(server.conninfo("postgres"), autocommit=True) as connection:
        _create(connection, name, template)
        yield name
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _create(connection: psycopg.Connection, name: str | None, template: str | None) -> None:
    """Commits do not wait for the disk: what a crash of the server loses is a test's."""
    connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')


def _migrate(uri: str) -> None:
    """What MLflow does in an empty database, but for its default experiment."""
    with warnings.catch_warnings(action="ignore"):  # it and SQLAlchemy deprecate each other
        from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine_with_retry

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        engine = create_sqlalchemy_engine_with_retry(uri)
        _initialize_tables(engine)
        engine.dispose()
