"""A PostgreSQL server of its own, on which `flows databases` has created the roles."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr
from sqlalchemy.engine import URL

from asof.settings import Settings
from local.embedded_postgres import postgres
from local.embedded_postgres.binaries import Binaries
from roles.access import LOGINS
from tests.kits.machine.free_port import free_port

PASSWORDS = {role: f"secret of {role} %/@" for role in LOGINS}
FIELDS = {role: f"{role.removeprefix('asof_')}_password" for role in LOGINS}


@dataclass(frozen=True)
class Town:
    """The server; `admin` has the superuser's address and the six passwords."""

    admin: Settings
    log: Path

    def as_role(self, role: str, database: str = "asof") -> Settings:
        """Settings of a process that connects as that role, with MLflow in its own database."""
        mlflow = self._url("mlflow", "mlflow").set(drivername="postgresql+psycopg2")
        return self.admin.model_copy(
            update={
                "postgres_url": SecretStr(_text(self._url(role, database))),
                "mlflow_tracking_uri": _text(mlflow.update_query_dict({"sslmode": "disable"})),
                "admin_postgres_url": None,
                **dict.fromkeys(FIELDS.values()),
            }
        )

    def connect(self, role: str, database: str = "asof") -> psycopg.Connection[Any]:
        """As that role, in autocommit mode."""
        return psycopg.connect(self.as_role(role, database).conninfo(), autocommit=True)

    def as_admin(self, database: str = "asof") -> psycopg.Connection[Any]:
        """As the superuser."""
        settings = self.admin.model_copy(update={"postgres_url": self.admin.admin_postgres_url})
        return psycopg.connect(settings.conninfo(database), autocommit=True)

    def environment(self, role: str) -> dict[str, str]:
        """The environment of such a process."""
        return self.as_role(role).environment()

    def _url(self, role: str, database: str) -> URL:
        assert self.admin.admin_postgres_url
        url = self.admin.model_copy(update={"postgres_url": self.admin.admin_postgres_url}).database(database)
        return url.set(username=role, password=PASSWORDS[role])


@contextmanager
def own_server(folder: Path, binaries: Binaries | None = None) -> Iterator[Town]:
    """A temporary embedded server that logs every statement, without the roles.

    The environment is restored at the end.
    """
    before = dict(os.environ)
    home = Settings(
        _env_file=None,
        home=folder,
        postgres_url=None,
        postgres_port=free_port(15433, "the roles' PostgreSQL"),
        mlflow_tracking_uri=None,
    )
    try:
        server = postgres.start(home, binaries)
        assert server.url
        passwords = {FIELDS[role]: SecretStr(password) for role, password in PASSWORDS.items()}
        url = SecretStr(server.url.get_secret_value().rsplit("/", 1)[0] + "/postgres")
        town = Town(home.model_copy(update={"admin_postgres_url": url, **passwords}), server.data.parent / "server.log")
        with town.as_admin("postgres") as connection:
            connection.execute("ALTER SYSTEM SET log_statement = 'all'")
            connection.execute("ALTER SYSTEM SET log_min_duration_statement = 0")
            connection.execute("SELECT pg_reload_conf()")
        yield town
    finally:
        postgres.remove(home)
        os.environ.clear()
        os.environ.update(before)


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
