"""Checks the MLflow tracking URI before MLflow is imported.

MLflow itself would retry for minutes, or create a database in the current folder.
"""

import os
import re
from pathlib import Path

from asof.bounded_http import IDENTITY, MAX_BYTES, within
from asof.errors import ConfigurationError, is_disk_error
from asof.postgres_url import LIBPQ_DRIVERS, conninfo_of, parse_url

CHECK_TIMEOUT = 3.0
"""Seconds for the whole check."""

PROBE = "/api/2.0/mlflow/experiments/search?max_results=1"
"""A request that only MLflow answers. Not `/health`: that needs neither an allowed host nor a password (3.17)."""

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"


def check_tracking_address(uri: str) -> frozenset[str] | None:
    """The names of the tables in MLflow's database; None at the address of a server.

    Raises ConfigurationError, without the password, unless MLflow answers at this address within CHECK_TIMEOUT.
    """
    try:
        found = within(CHECK_TIMEOUT, lambda: _probed(uri))
    except TimeoutError as error:
        found = error
    if isinstance(found, Exception):
        raise unusable_tracking(uri, found) from None  # the cause may contain the password
    return found


def unusable_tracking(uri: str, failure: Exception) -> ConfigurationError:
    """The error that names the address without its password, the reason, and what to do."""
    reason = _reason(failure).replace(uri, _without_password(uri))
    remedy = "Start MLflow there, correct MLFLOW_TRACKING_URI, or unset it to use the project's own database."
    if is_disk_error(reason):
        remedy = "Free space on the disk of its database."
    return ConfigurationError(f"MLflow cannot be used at {_without_password(uri)}: {reason}. {remedy}")


def _probed(uri: str) -> frozenset[str] | Exception | None:
    try:
        return _probe(uri)
    except ValueError:  # its message quotes what it could not parse, which may be the password
        return ConfigurationError("it cannot be read as an address")
    except Exception as error:
        return error


def _probe(uri: str) -> frozenset[str] | None:
    scheme, colon, _ = uri.partition(":")
    match scheme.partition("+")[0] if colon else "file":
        case "http" | "https":
            _probe_server(uri)
            return None
        case "postgresql":
            return _ours(_tables(uri))
        case "sqlite":
            return _probe_file(uri)
        case "file":
            raise ConfigurationError(
                "MLflow takes it for a folder, and no longer stores runs in one; use sqlite:////FOLDER/mlflow.db"
            )
        case _:
            raise ConfigurationError("it must begin with http://, https://, postgresql:// or sqlite:////")


def _probe_server(uri: str) -> None:
    import requests

    response = requests.get(
        uri.rstrip("/") + PROBE, headers=IDENTITY, timeout=CHECK_TIMEOUT, allow_redirects=False, stream=True
    )
    body = response.raw.read(MAX_BYTES, decode_content=False)
    match response.status_code:
        case 200 if "json" in response.headers.get("Content-Type", ""):
            return
        case 401 if "@" not in uri:
            return  # MLflow's client may read a user name or token from its own variables
        case 401:
            raise ConfigurationError("it refuses the user name or the password (401)")
        case 403 if b"Invalid Host" in body:
            raise ConfigurationError("it refuses this host name (403): its --allowed-hosts must list it")
        case status:
            raise ConfigurationError(f"it does not answer as MLflow does (status {status})")


def _probe_file(uri: str) -> frozenset[str]:
    url = parse_url(uri)
    file = Path(url.database or "") if url else Path()
    if not file.is_absolute():
        raise ConfigurationError("it is relative to the current folder; use sqlite:////FOLDER/mlflow.db")
    if not file.parent.is_dir():
        raise ConfigurationError(f"there is no folder {file.parent}")
    if file.exists():  # connecting would create it
        return _ours(_tables_by_sqlalchemy(uri))
    if not os.access(file.parent, os.W_OK):
        raise ConfigurationError(f"we may not write to {file.parent}")
    return frozenset()


def _tables(uri: str) -> frozenset[str]:
    """The tables of a PostgreSQL database, without importing SQLAlchemy for a driver of libpq."""
    url = parse_url(uri)
    if url is None or url.drivername not in LIBPQ_DRIVERS:
        return _tables_by_sqlalchemy(uri, connect_timeout=int(CHECK_TIMEOUT))
    import psycopg

    limited = url.update_query_dict({"connect_timeout": str(int(CHECK_TIMEOUT))})
    with psycopg.connect(conninfo_of(limited, "MLFLOW_TRACKING_URI"), autocommit=True) as connection:
        return frozenset(name for (name,) in connection.execute(TABLES))


def _tables_by_sqlalchemy(uri: str, **connect: int) -> frozenset[str]:
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, connect_args=connect, poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        return frozenset(sqlalchemy.inspect(connection).get_table_names())


def _ours(tables: frozenset[str]) -> frozenset[str]:
    if "alembic_version" in tables and "experiments" not in tables:
        raise ConfigurationError("the database belongs to another program")  # MLflow would add its tables
    return tables


def _reason(error: BaseException) -> str:
    """The first line of the innermost error: libraries wrap the system's message."""
    while error.__context__ is not None:
        error = error.__context__
    message = str(getattr(error, "strerror", None) or error).strip()
    return message.splitlines()[0].removeprefix("connection failed: ").rstrip(".") if message else type(error).__name__


def _without_password(uri: str) -> str:
    """The address without anything before an `@`: a malformed one may hold the password anywhere."""
    bare = re.sub(r"^([\w+]+://)?.*@", r"\1***@", uri, flags=re.DOTALL)
    return re.sub(r"(password=)[^&]*", r"\1***", bare, flags=re.IGNORECASE)
